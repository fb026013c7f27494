// Pins, as somebody else may have left them: directories and objects are looked at before they are used. What is not as
// Headwind makes it is refused by name, with what to do.
#pragma once

#include <linux/bpf.h>

#include <string>

#include "fd.h"
#include "result.h"

struct bpf_map;

namespace headwind {

// read: takes CAP_BPF and read access to the pins, no more.
enum class Access { change, read };

// A directory in which only root and the caller can put things. False: there is nothing. Symbolic links, other owners
// and directories that others may write to are errors.
Result<bool> is_safe_directory(const std::string& path, Access access = Access::change);

// Something bears this name.
Result<bool> is_pinned(const std::string& path, Access access);

struct MapShape {
    bpf_map_type type;
    __u32 key_size, value_size;  // 0: any
};
Result<Fd> open_map_pin(const std::string& path, const MapShape& shape, Access access = Access::change);
// Of a program at tc.
Result<Fd> open_program_pin(const std::string& path);
// A map that is not loaded yet becomes the one pinned there, which must have its shape.
Status reuse_pin(bpf_map* map, const std::string& path);

// Of an object that a pin gave: a link, neither map nor program.
bool is_link(const Fd& object);

// How root removes by hand what is pinned in a directory: an end of a sentence.
std::string removal_by_hand(const std::string& directory);

// `error`: of a pin.
tl::unexpected<Error> denied_or_failed(int error, const std::string& what, Access access);

}  // namespace headwind
