#include "panic_state.h"

#include <atomic>
#include <optional>
#include <vector>

#include "attached.h"
#include "changed.h"
#include "instance.h"

namespace headwind {
namespace {

// The pinned one, if it is there, and those of programs whose pins are gone.
struct Switches {
    std::vector<Mapping<hw_host>> maps;
    bool any_program = false;
    bool pinned = false;
    std::optional<Error> trouble;  // what is where the pin should be
};

Switches find_switches()
{
    Switches out;
    auto host = open_host_map();
    out.pinned = host && *host;
    if (out.pinned) out.maps.push_back(std::move(**host));
    if (!host) out.trouble = host.error();
    for (const auto program : loaded_programs()) {
        out.any_program = true;
        const auto map = map_of_program(program, "hw_host", sizeof(hw_host));
        auto mapping =
            map ? map_global<hw_host>(map, "the map that all instances share", Access::change) : fail_errno(ENOENT, "");
        if (mapping) out.maps.push_back(std::move(*mapping));
    }
    return out;
}

}  // namespace

Result<bool> set_panic(bool on)
{
    auto switches = find_switches();
    if (switches.maps.empty() && switches.any_program)
        return fail(ErrorKind::failed,
                    "Headwind's programs are loaded, and what turns them off is not to be had: `headwind clear "
                    "--everywhere --all` takes them off");
    if (!switches.pinned && !switches.trouble && on) {
        HW_TRY(auto made, make_host_map());
        switches.maps.push_back(std::move(made));
    }
    bool was_on = !switches.maps.empty();
    for (const auto& map : switches.maps) was_on = (std::atomic_ref(map->panic).exchange(on ? 1 : 0) != 0) && was_on;
    if (!on && !switches.trouble) HW_CHECK(remove_unused_host_map());
    Changed changed;
    if (was_on != on) changed.words = on ? "every rule is off" : "the rules have their effect again";
    changed.everywhere = true;
    tell(changed);
    if (switches.trouble)
        return fail(switches.trouble->kind, "{}{}",
                    switches.maps.empty() ? ""
                    : on                  ? "every rule is off that was in force, but "
                                          : "panic is over, but ",
                    switches.trouble->message);
    return switches.any_program;
}

Result<bool> is_panic_on()
{
    HW_TRY(const auto host, open_host_map(Access::read));
    return host && std::atomic_ref((*host)->panic).load() != 0;
}

Status refuse_in_panic()
{
    HW_TRY(const bool panic, is_panic_on());
    if (!panic) return {};
    return fail(
        ErrorKind::failed,
        "panic is on: nothing is added, since all of it would begin at once with `headwind panic --off`. End the "
        "panic first");
}

}  // namespace headwind
