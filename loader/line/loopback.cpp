// SPDX-License-Identifier: MIT
// Makes, checks and removes the fq of lo, by whose handle it is known to be ours.
#include "line/loopback.h"

#include "host/backlog.h"
#include "host/devices.h"
#include "line/pacer.h"

namespace headwind {

class LoopbackWriter {
public:
    static hw_control& of(const Control& control) { return control.writable(); }
};

namespace {

constexpr std::uint32_t own_handle = 0x4857U << 16;  // "HW"
const std::string loopback_name = "lo";

bool is_ours(const std::optional<netlink::QdiscStats>& root)
{
    return root && root->kind == "fq" && root->handle == own_handle;
}

bool is_default(const std::optional<netlink::QdiscStats>& root)
{
    return !root || root->kind.empty() || root->kind == "noqueue";
}

}  // namespace

Status hold_on_loopback(Instance& instance, bool by_flow)
{
    auto& control = LoopbackWriter::of(instance.control);
    HW_TRY(const auto qdiscs, netlink::list_qdiscs());
    const auto root = netlink::root_qdisc_stats(qdiscs, loopback_index);
    if (!is_ours(root) && !is_default(root))
        return fail(
            ErrorKind::unsupported,
            "lo: a delay or a rate there needs an fq of Headwind's in place of the qdisc '{}': remove that one, or name devices without lo (--dev)",
            root->kind);
    const auto before = control.loopback_pace;
    control.loopback_pace = loopback_index;  // first: whoever is killed behind it leaves nothing that nobody knows of
    if (!is_ours(root) || !is_pacer(qdiscs, loopback_index, 1)) {
        if (auto made = make_pacer(loopback_index, 1, own_handle); !made) {
            control.loopback_pace = before;
            return made;
        }
    }
    if (!by_flow) return {};
    HW_TRY(const bool chosen, is_received_by_choice(loopback_name, 1));
    if (chosen && control.loopback_rps == 0) return {};  // as somebody else likes it
    control.loopback_rps = 1;
    return receive_by_flow(loopback_name, 1);
}

Result<bool> is_loopback_intact(const Instance& instance, const std::vector<netlink::Qdisc>& qdiscs)
{
    if (instance.control->loopback_pace == 0) return true;
    if (!loopback_stats(qdiscs) || !is_pacer(qdiscs, loopback_index, 1)) return false;
    return instance.control->loopback_rps == 0 ? true : receives_by_flow(loopback_name, 1);
}

Status release_loopback(Instance* instance)
{
    HW_TRY(const auto root, netlink::root_qdisc_stats(loopback_index));
    if (is_ours(root)) HW_CHECK(netlink::delete_root_qdisc(loopback_index));
    if (instance == nullptr) return {};
    auto& control = LoopbackWriter::of(instance->control);
    control.loopback_pace = 0;
    if (control.loopback_rps == 0) return {};
    HW_CHECK(receive_anywhere(loopback_name, 1));
    control.loopback_rps = 0;
    return {};
}

Result<std::optional<netlink::QdiscStats>> loopback_stats()
{
    HW_TRY(const auto qdiscs, netlink::list_qdiscs());
    return loopback_stats(qdiscs);
}

std::optional<netlink::QdiscStats> loopback_stats(const std::vector<netlink::Qdisc>& qdiscs)
{
    auto root = netlink::root_qdisc_stats(qdiscs, loopback_index);
    return is_ours(root) ? root : std::nullopt;
}

}  // namespace headwind
