#include "engine.h"

#include <linux/if.h>

#include <algorithm>
#include <atomic>

#include <headwind/model.h>

#include "counters.h"
#include "devices.h"
#include "follow.h"
#include "hooks.h"
#include "plan.h"
#include "session.h"
#include "transaction.h"

namespace headwind {
namespace {

// Names, and who decides what comes in.
void add_devices(RuleView& out, const Instance& instance, const RuleRecord& record,
                 const std::vector<netlink::Link>& links)
{
    for (const auto& link : links) {
        for (std::uint16_t slot = 0; slot < HW_MAX_DEVICES; ++slot) {
            const auto& device = instance.control->devices[slot];
            if (device.ifindex != static_cast<__u32>(link.index)) continue;
            const bool named = std::any_of(record.devices.begin(), record.devices.end(),
                                           [&link](const auto& d) { return d.ifindex == link.index; });
            const bool by_default = record.rule.selector.devices.empty() && (device.flags & HW_DEVICE_DEFAULT);
            if (!named && !by_default) continue;
            out.devices.push_back(link.name);
            if (device.flags & HW_DEVICE_INGRESS)
                out.ingress.push_back(ingress_hook(instance, record.rule, link, slot));
        }
    }
}

Result<RuleView> view(const Instance& instance, RuleRecord record, const std::vector<netlink::Link>& links)
{
    RuleView out;
    HW_TRY(out.state, read_state(instance, record));
    add_devices(out, instance, record, links);
    if (record.rule.direction == Direction::out && !is_far(record.rule)) out.ingress.clear();
    if (out.state == RuleState::live && out.devices.empty()) out.state = RuleState::waiting;
    for (const auto& [direction, key] : {std::pair{Direction::out, HW_OUT}, {Direction::in, HW_IN}}) {
        if (record.rule.direction != Direction::both && record.rule.direction != direction) continue;
        HW_TRY(const auto counters, read_counters(instance, {record.state, static_cast<__u32>(key)}));
        out.counters.push_back({direction, counters});
    }
    out.record = std::move(record);
    return out;
}

// What a change leaves as it was may name devices that are not there now.
bool keeps_devices(const RuleRecord& record, const std::vector<RuleRecord>& gone)
{
    return std::any_of(gone.begin(), gone.end(), [&record](const auto& before) {
        return before.state == record.state && before.rule.selector.devices == record.rule.selector.devices;
    });
}

Result<std::vector<netlink::Link>> devices_for(const RuleRecord& record, const std::vector<RuleRecord>& gone)
{
    HW_TRY(const auto links, netlink::list_links());
    const auto& names = record.rule.selector.devices;
    if (!names.empty() && keeps_devices(record, gone)) return present_devices(links, names);
    if (!names.empty()) return named_devices(links, names);
    auto found = default_devices(links);
    if (found.empty())
        return fail(ErrorKind::not_found, "no device of this network namespace is up: name one with --dev");
    return found;
}

Status attach_devices(Instance& instance, const Rule& rule, const std::vector<netlink::Link>& devices,
                      RuleRecord& record)
{
    for (const auto& link : devices) {
        const auto slot = attach_device(instance, link, attach_flags(rule));
        if (!slot && is_lost(link.index)) continue;  // since it was looked for
        if (!slot) return tl::unexpected(slot.error());
        if (!rule.selector.devices.empty()) record.devices.push_back({link.name, link.index, *slot});
    }
    return {};
}

// From nothing, or from what a killed command left, to an instance without rules.
Status start_instance(Session& session, const Plan& plan)
{
    const auto ignore = [](std::uint32_t) {};
    HW_TRY(const auto lost, tear_down(session.instance, {}, ignore));
    static_cast<void>(lost);
    auto created = create_instance(plan.max_held != 0 ? plan.max_held : default_max_held, plan.max_rules);
    if (!created) {
        static_cast<void>(tear_down(session.instance, {}, ignore));
        return pass_error(created);
    }
    session.instance = std::move(*created);
    return {};
}

// After a failed change: what was attached for it goes again, all of it if no rule is left.
void undo(Session& session, const std::vector<RuleRecord>& gone)
{
    session.records.insert(session.records.end(), gone.begin(), gone.end());
    if (!session.instance) return;
    if (session.records.empty())
        static_cast<void>(tear_down(session.instance, default_drain, [](std::uint32_t) {}));
    else
        static_cast<void>(trim_hooks(*session.instance, session.records));
}

Result<Removed> remove_records(Session& session, std::vector<RuleRecord> gone, const Progress& progress,
                               std::chrono::nanoseconds drain)
{
    Removed out;
    for (const auto& record : gone) out.rules.push_back(record.rule.name);
    subtract(session.records, gone);
    if (only_guards(session.records)) {
        gone.insert(gone.end(), session.records.begin(), session.records.end());
        session.records.clear();
    }
    out.left = session.records;
    if (session.instance && !gone.empty()) HW_CHECK(commit(*session.instance, {session.records, {}, gone}));
    if (session.records.empty()) {
        HW_TRY(out.packets_lost, tear_down(session.instance, drain, progress));
        out.instance_gone = true;
    } else {
        HW_CHECK(trim_hooks(*session.instance, session.records));
    }
    return out;
}

Result<RuleRecord> find_record(const std::vector<RuleRecord>& records, const std::string& name)
{
    const auto found =
        std::find_if(records.begin(), records.end(), [&name](const auto& record) { return record.rule.name == name; });
    if (found == records.end()) return fail(ErrorKind::not_found, "no rule is called {}: see `headwind list`", name);
    return *found;
}

Status renew(const Instance& instance, std::uint32_t state, std::uint64_t lease)
{
    HW_TRY(const auto present, instance.leases.find(state));
    if (!present) return fail(ErrorKind::not_found, "the rule was removed");
    hw_lease renewed{};
    renewed.until = boottime_ns() + lease;
    return instance.leases.rewrite(state, renewed);
}

// The rules of one version.
Result<Overview> look_at(const Instance& instance, std::uint64_t version)
{
    Overview out;
    out.exists = true;
    out.tcx = instance.control->tcx != 0;
    out.max_held = instance.control->max_held;
    HW_TRY(const auto links, netlink::list_links());
    HW_TRY(auto records, load_records(instance));
    std::vector<std::pair<std::uint64_t, RuleView>> ranked;
    for (auto& record : records) {
        HW_TRY(const auto rule, instance.rules.find(record.id));
        if (!rule || !hw_in_version(&*rule, version)) continue;  // a transaction is under way
        HW_TRY(auto one, view(instance, std::move(record), links));
        ranked.emplace_back(rule->rank, std::move(one));
    }
    std::sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (auto& [rank, one] : ranked) out.rules.push_back(std::move(one));
    HW_TRY(out.line, line_stats(instance));
    return out;
}

}  // namespace

__u32 attach_flags(const Rule& rule)
{
    const bool far = is_far(rule);
    __u32 flags = rule.selector.devices.empty() ? HW_DEVICE_DEFAULT : 0;
    if (far) flags |= HW_DEVICE_FAR;
    if (rule.direction != (far ? Direction::out : Direction::in)) flags |= HW_DEVICE_EGRESS;
    if (rule.direction != (far ? Direction::in : Direction::out)) flags |= HW_DEVICE_INGRESS;
    return flags;
}

Status prepare_line(Instance& instance, const Rule& rule, const std::vector<RuleRecord>& others,
                    const std::vector<netlink::Link>& devices)
{
    LineNeeds needs;
    bool line = false;
    const auto add = [&](const Impairment& impairment) {
        const bool time = impairment.delay != 0 || impairment.rate != 0;
        needs.time = needs.time || time;
        line = line || time || impairment.loss || impairment.corrupt || impairment.duplicate ||
               impairment.reject != Reject::no;
    };
    add(rule.impairment);
    for (const auto& record : others) add(record.rule.impairment);
    needs.loopback =
        std::any_of(devices.begin(), devices.end(), [](const auto& link) { return link.flags & IFF_LOOPBACK; });
    return line ? ensure_line(instance, needs) : Status{};
}

Status carry_out(Session& session, Plan& plan, const std::vector<std::vector<netlink::Link>>& devices)
{
    auto& instance = *session.instance;
    if (plan.max_held != 0) std::atomic_ref(instance.control->max_held).store(plan.max_held);
    for (std::size_t i = 0; i < plan.fresh.size(); ++i) {
        auto& record = plan.fresh[i];
        HW_CHECK(prepare_line(instance, record.rule, session.records, devices[i]));
        record.devices.clear();
        HW_CHECK(attach_devices(instance, record.rule, devices[i], record));
        record.id = next_rule_id(instance);
        if (record.state == 0) record.state = record.id;
    }
    auto records = session.records;
    records.insert(records.end(), plan.fresh.begin(), plan.fresh.end());
    HW_CHECK(settle_fronts(instance, records));
    HW_CHECK(commit(instance, {session.records, plan.fresh, plan.gone}));
    session.records = std::move(records);
    return {};
}

Result<Overview> overview()
{
    HW_TRY(const auto host, open_host_map());
    const bool panic = host && std::atomic_ref((*host)->panic).load() != 0;
    // No lock is taken: what a transaction changed meanwhile is looked at again.
    for (int looks = 1;; ++looks) {
        HW_TRY(const auto instance, open_instance());
        if (!instance) {
            Overview nothing;
            nothing.panic = panic;
            return nothing;
        }
        const auto version = std::atomic_ref(instance->control->version).load();
        auto out = look_at(*instance, version);
        if (out) out->panic = panic;
        if (looks == 100 || std::atomic_ref(instance->control->version).load() == version) return out;
    }
}

Result<std::vector<RuleView>> apply_changes(const Changes& changes)
{
    HW_TRY(auto session, begin());
    catch_up(session);
    HW_TRY(auto plan, make_plan(session, changes));
    std::vector<std::vector<netlink::Link>> devices;
    for (const auto& record : plan.fresh) {
        HW_TRY(auto links, devices_for(record, plan.gone));
        devices.push_back(std::move(links));
    }
    if (!session.instance) HW_CHECK(start_instance(session, plan));
    if (auto status = carry_out(session, plan, devices); !status) {
        undo(session, plan.gone);
        return pass_error(status);
    }
    if (session.records.empty()) {
        HW_TRY(const auto lost, tear_down(session.instance, default_drain, [](std::uint32_t) {}));
        static_cast<void>(lost);
        return std::vector<RuleView>{};
    }
    HW_CHECK(trim_hooks(*session.instance, session.records));
    HW_TRY(const auto links, netlink::list_links());
    std::vector<RuleView> out;
    for (auto& record : plan.fresh) {
        HW_TRY(auto one, view(*session.instance, std::move(record), links));
        out.push_back(std::move(one));
    }
    return out;
}

Result<RuleView> add_rule(const AddRequest& request)
{
    Changes changes;
    changes.add = {request};
    HW_TRY(auto views, apply_changes(changes));
    return std::move(views.front());
}

Result<Removed> delete_rules(const std::vector<std::string>& names, bool if_exists, const Progress& progress,
                             std::chrono::nanoseconds drain)
{
    HW_TRY(auto session, begin());
    catch_up(session);
    std::vector<RuleRecord> gone;
    for (const auto& name : names) {
        auto record = find_record(session.records, name);
        if (record)
            gone.push_back(std::move(*record));
        else if (!if_exists)
            return pass_error(record);
    }
    return remove_records(session, gone, progress, drain);
}

Result<Removed> clear(const std::optional<std::string>& owner, const Progress& progress, std::chrono::nanoseconds drain)
{
    HW_TRY(auto session, begin(Sweep::all));
    std::vector<RuleRecord> gone;
    for (const auto& record : session.records)
        if (!owner || record.owner == *owner) gone.push_back(record);
    return remove_records(session, gone, progress, drain);
}

Status renew_lease(std::uint32_t state, std::uint64_t lease)
{
    HW_TRY(const auto instance, open_instance());
    if (!instance) return fail(ErrorKind::not_found, "the rule was removed");
    return renew(*instance, state, lease);
}

Status renew_leases(const std::vector<std::string>& names)
{
    HW_TRY(const auto instance, open_instance());
    std::vector<RuleRecord> records, named;
    if (instance) {
        HW_TRY(records, load_records(*instance));
    }
    for (const auto& name : names) {
        HW_TRY(auto record, find_record(records, name));
        if (record.lease == 0)
            return fail(ErrorKind::usage, "{} has no lease: give it one with `headwind add --replace --lease 30s ...`",
                        name);
        named.push_back(std::move(record));
    }
    for (const auto& record : named) HW_CHECK(renew(*instance, record.state, record.lease));
    return {};
}

Result<bool> set_panic(bool on)
{
    HW_TRY(const auto host, open_host_map());
    if (!host) return false;
    std::atomic_ref((*host)->panic).store(on ? 1 : 0);
    return true;
}

}  // namespace headwind
