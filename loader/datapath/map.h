// SPDX-License-Identifier: MIT
// Typed access to a BPF map by file descriptor. Failures that are not answers (all but "no such key") are Errors.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <bpf/bpf.h>

#include "host/bpffs.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

// bpf_map_update_elem for maps that are not preallocated: the kernel fills its stock of elements in the background and
// says ENOMEM when many are asked for at once. This function waits for the kernel: for per-CPU elements it took more
// than 1 s on a busy machine, where much had just been removed. Where 10 s are not enough, memory is short: what
// follows waits less. Returns 0, or -1 with errno, as libbpf does.
inline int update_element(int fd, const void* key, const void* value, std::uint64_t flags)
{
    constexpr int pause_us = 1000, most_pauses = 10'000, pauses_if_short = 100;
    static std::atomic<int> pauses = most_pauses;
    int status = bpf_map_update_elem(fd, key, value, flags);
    for (int i = 0; status != 0 && errno == ENOMEM && i < pauses; ++i) {
        usleep(pause_us);
        status = bpf_map_update_elem(fd, key, value, flags);
    }
    if (status == 0) pauses = most_pauses;
    if (status != 0 && errno == ENOMEM) pauses = pauses_if_short;
    return status;
}

template <class Key, class Value>
class Map {
public:
    Map() = default;
    explicit Map(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
    int fd() const { return fd_.get(); }

    Result<std::optional<Value>> find(const Key& key) const
    {
        Value value{};
        if (bpf_map_lookup_elem(fd(), &key, &value) == 0) return value;
        if (errno == ENOENT) return std::nullopt;
        return fail_errno(errno, "look up in " + name_);
    }
    // Replaces or makes the whole element. Readers see the old or the new one.
    Status put(const Key& key, const Value& value) const { return update(key, value, BPF_ANY); }
    // Changes words of an existing element in place, under its lock: readers keep the element that they hold.
    Status rewrite(const Key& key, const Value& value) const { return update(key, value, BPF_EXIST | BPF_F_LOCK); }
    Status erase(const Key& key) const
    {
        if (bpf_map_delete_elem(fd(), &key) == 0 || errno == ENOENT) return {};
        return fail_errno(errno, "remove from " + name_);
    }
    // All keys. The caller holds the InstanceLock: nobody else adds or removes elements meanwhile.
    std::vector<Key> keys() const
    {
        std::vector<Key> out;
        Key key{};
        for (const Key* last = nullptr; bpf_map_get_next_key(fd(), last, &key) == 0; last = &out.back())
            out.push_back(key);
        return out;
    }

    // All elements, many per system call (Linux 5.6).
    Result<std::vector<std::pair<Key, Value>>> items() const
    {
        constexpr std::uint32_t chunk = 512;
        std::vector<std::pair<Key, Value>> out;
        std::vector<Key> keys(chunk);
        std::vector<Value> values(chunk);
        std::uint64_t position[16]{};  // the kernel's own: a u32 for hash maps
        bool more = true;
        for (void* from = nullptr; more; from = position) {
            std::uint32_t count = chunk;
            more = bpf_map_lookup_batch(fd(), from, position, keys.data(), values.data(), &count, nullptr) == 0;
            if (!more && errno != ENOENT) return fail_errno(errno, "read all of " + name_);
            for (std::uint32_t i = 0; i < count; ++i) out.emplace_back(keys[i], values[i]);
        }
        return out;
    }

private:
    Status update(const Key& key, const Value& value, std::uint64_t flags) const
    {
        if (update_element(fd(), &key, &value, flags) == 0) return {};
        if (errno == E2BIG)
            return fail(ErrorKind::failed,
                        "{} is full: `headwind clear`, then give the first rule --max-rules with more room", name_);
        return fail_errno(errno, "write to " + name_);
    }
    Fd fd_;
    std::string name_;
};

// The one value of an array (a global of the BPF programs): shared with the kernel or, with Access::read, a copy as it
// is now. Linux (6.18) maps a map only for callers that may write to it.
template <class T>
Result<Mapping<T>> map_global(const Fd& map, const std::string& name, Access access)
{
    const bool copy = access == Access::read;
    void* address = mmap(nullptr, Mapping<T>::bytes(), PROT_READ | PROT_WRITE,
                         copy ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, copy ? -1 : map.get(), 0);
    if (address == MAP_FAILED) return fail_errno(errno, "map " + name);
    Mapping<T> mapping(address);
    const std::uint32_t zero = 0;
    if (copy && bpf_map_lookup_elem(map.get(), &zero, address) != 0) return fail_errno(errno, "read " + name);
    return mapping;
}

// A BPF_F_MMAPABLE array, all elements of which are memory of this process, too.
template <class T>
class MappedArray {
public:
    MappedArray() = default;
    static Result<Fd> make(const char* name, std::uint32_t size)
    {
        bpf_map_create_opts options{};
        options.sz = sizeof(options);
        options.map_flags = BPF_F_MMAPABLE;
        Fd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(std::uint32_t), sizeof(T), size, &options));
        if (!fd) return fail_errno(errno, std::string("make the map ") + name);
        return fd;
    }
    static Result<MappedArray> map(const Fd& fd, const std::string& name)
    {
        bpf_map_info info{};
        std::uint32_t bytes = sizeof(info);
        if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0) return fail_errno(errno, "inspect " + name);
        MappedArray out;
        out.size_ = info.max_entries;
        void* address = mmap(nullptr, out.bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
        if (address == MAP_FAILED) return fail_errno(errno, "map " + name);
        out.data_ = static_cast<T*>(address);
        return out;
    }
    MappedArray(MappedArray&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
    {
    }
    MappedArray& operator=(MappedArray&& other) noexcept
    {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    MappedArray(const MappedArray&) = delete;
    MappedArray& operator=(const MappedArray&) = delete;
    ~MappedArray()
    {
        if (data_ != nullptr) munmap(data_, bytes());
    }
    std::span<T> all() const { return {data_, size_}; }

private:
    std::size_t bytes() const
    {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        return (size_ * sizeof(T) + page - 1) / page * page;
    }
    static_assert(sizeof(T) % 8 == 0, "elements of an array lie 8 bytes aligned");
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

// A MappedArray that is mapped only when many elements are asked for: the first few are read one by one.
template <class T>
class LazyArray {
public:
    LazyArray() = default;
    LazyArray(Fd fd, std::string name, std::size_t size) : fd_(std::move(fd)), name_(std::move(name)), size_(size) {}
    std::size_t size() const { return size_; }
    // The element at `place`; zeros, if it cannot be read. The reference is good as long as the array is.
    const T& at(std::size_t place) const
    {
        constexpr std::size_t few = 16;
        if (read_.size() == few && mapped_.all().empty())
            if (auto mapped = MappedArray<T>::map(fd_, name_)) mapped_ = std::move(*mapped);
        if (!mapped_.all().empty()) return mapped_.all()[place];
        auto [found, is_new] = read_.try_emplace(place);
        const auto key = static_cast<std::uint32_t>(place);
        if (is_new && bpf_map_lookup_elem(fd_.get(), &key, &found->second) != 0) found->second = T{};
        return found->second;
    }
    Status put(std::size_t place, const T& value) const
    {
        const auto key = static_cast<std::uint32_t>(place);
        if (bpf_map_update_elem(fd_.get(), &key, &value, BPF_ANY) != 0) return fail_errno(errno, "write to " + name_);
        if (const auto found = read_.find(place); found != read_.end()) found->second = value;
        return {};
    }

private:
    Fd fd_;
    std::string name_;
    std::size_t size_ = 0;
    mutable std::map<std::size_t, T> read_;
    mutable MappedArray<T> mapped_;
};

}  // namespace headwind
