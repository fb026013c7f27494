// Typed access to a BPF map by file descriptor. Failures that are not answers (anything but "no such key") are Errors.
#pragma once

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <bpf/bpf.h>

#include "host/bpffs.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

// bpf_map_update_elem for maps that are not preallocated: the kernel fills its stock of elements in the background and
// says ENOMEM when many are asked for at once. Waits for it, at most a second. 0 or -1 with errno, as libbpf.
inline int update_element(int fd, const void* key, const void* value, std::uint64_t flags)
{
    constexpr int attempts = 1000, pause_us = 1000;
    int status = bpf_map_update_elem(fd, key, value, flags);
    for (int i = 0; status != 0 && errno == ENOMEM && i < attempts; ++i) {
        usleep(pause_us);
        status = bpf_map_update_elem(fd, key, value, flags);
    }
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
    // The whole element is replaced (or made). Readers see the old or the new one.
    Status put(const Key& key, const Value& value) const { return update(key, value, BPF_ANY); }
    // Words of an existing element change in place, under its lock: what readers hold stays theirs.
    Status rewrite(const Key& key, const Value& value) const { return update(key, value, BPF_EXIST | BPF_F_LOCK); }
    Status erase(const Key& key) const
    {
        if (bpf_map_delete_elem(fd(), &key) == 0 || errno == ENOENT) return {};
        return fail_errno(errno, "remove from " + name_);
    }
    // The caller holds the InstanceLock: nobody else adds or removes elements meanwhile.
    std::vector<Key> keys() const
    {
        std::vector<Key> out;
        Key key{};
        for (const Key* last = nullptr; bpf_map_get_next_key(fd(), last, &key) == 0; last = &out.back())
            out.push_back(key);
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

// The one value of an array (a global of the BPF programs), shared with the kernel or, to read only, a copy as it is
// now: Linux (6.18) maps a map for those who may write to it.
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

}  // namespace headwind
