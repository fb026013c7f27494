// SPDX-License-Identifier: MIT
// Opens BPF objects by their pins, as somebody else may have left them: kind, type and sizes are looked at before an
// object is used. An object that is not as Headwind makes it is refused by path, owner and mode, with what to do.
#pragma once

#include <linux/bpf.h>

#include <string>

#include "host/bpffs.h"
#include "util/fd.h"
#include "util/result.h"

struct bpf_map;

namespace headwind {

struct MapShape {
    bpf_map_type type;
    __u32 key_size, value_size;  // value_size 0: any
};
Result<Fd> open_map_pin(const PinDirectory& directory, const std::string& name, const MapShape& shape,
                        Access access = Access::change);
// Opens the pin of a tc program.
Result<Fd> open_program_pin(const PinDirectory& directory, const std::string& name, Access access = Access::change);
// Opens the pin of a link. nullopt: nothing is there, or something else.
Result<std::optional<Fd>> find_link_pin(const PinDirectory& directory, const std::string& name);
Status pin(const PinDirectory& directory, int object, const std::string& name);
// Makes `map`, which is not loaded yet, the map that is pinned there, which must have its shape.
Status reuse_pin(bpf_map* map, const PinDirectory& directory, const std::string& name);

// A sentence for errors: what to do where the pins of a network namespace are not as they were made.
constexpr const char* way_out = "`headwind clear --all` in that network namespace removes all that Headwind has there";

}  // namespace headwind
