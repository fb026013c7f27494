// SPDX-License-Identifier: MIT
// Owners of what must be given back: file descriptors and mappings.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

namespace headwind {

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd()
    {
        if (fd_ >= 0) close(fd_);
    }
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }  // the caller owns it from now on
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

// A mapping of one object of type T shared with the kernel (a BPF array of one element).
template <class T>
class Mapping {
public:
    Mapping() = default;
    explicit Mapping(void* address) : address_(address) {}
    Mapping(Mapping&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
    Mapping& operator=(Mapping&& other) noexcept
    {
        std::swap(address_, other.address_);
        return *this;
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping()
    {
        if (address_ != nullptr) munmap(address_, bytes());
    }
    static std::size_t bytes()
    {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        return (sizeof(T) + page - 1) / page * page;
    }
    T* operator->() const { return static_cast<T*>(address_); }
    T& operator*() const { return *static_cast<T*>(address_); }
    explicit operator bool() const { return address_ != nullptr; }

private:
    void* address_ = nullptr;
};

}  // namespace headwind
