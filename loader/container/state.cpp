// SPDX-License-Identifier: MIT
// Reads the JSON of runc, crun, Docker and containers/storage, and names of cgroups.
#include "container/state.h"

#include <charconv>

#include <nlohmann/json.hpp>

#include "util/text.h"

namespace headwind {
namespace {

using nlohmann::json;

constexpr std::size_t id_length = 64;        // hexadecimal digits
constexpr std::size_t short_id_length = 12;  // as engines show it
constexpr std::string_view engine_prefixes[] = {"cri-containerd-", "crio-", "docker-", "libpod-", "nerdctl-"};
constexpr std::string_view cgroup_mounts[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};

// The value at a path of keys; null where the way ends.
const json& at(const json& object, std::initializer_list<const char*> keys)
{
    static const json nothing;
    const json* value = &object;
    for (const char* key : keys) {
        const auto found = value->is_object() ? value->find(key) : value->end();
        if (!value->is_object() || found == value->end()) return nothing;
        value = &*found;
    }
    return *value;
}

// The text of a JSON string; empty if it is no plain text: an image chooses its own labels, and names are shown on
// terminals.
std::string plain_text(const json& value)
{
    auto text = value.is_string() ? value.get<std::string>() : std::string();
    return is_plain_text(text) ? text : std::string();
}

std::string text_at(const json& object, std::initializer_list<const char*> keys)
{
    return plain_text(at(object, keys));
}

std::uint64_t number_at(const json& object, std::initializer_list<const char*> keys)
{
    const json& value = at(object, keys);
    return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

// Sets the field, unless the value is empty: a later file does not take away what was told before.
void set(std::string& field, std::string value)
{
    if (!value.empty()) field = std::move(value);
}

// The number as a process id; 0 if it is none.
int pid_at(const json& object, std::initializer_list<const char*> keys)
{
    const std::uint64_t value = number_at(object, keys);
    return value <= 0x7fffffff ? static_cast<int>(value) : 0;
}

Result<json> parse_object(std::string_view text)
{
    auto value = json::parse(text, nullptr, false);
    if (value.is_discarded()) return fail(ErrorKind::failed, "no JSON");
    if (!value.is_object()) return fail(ErrorKind::failed, "no JSON object");
    return value;
}

// ---- annotations ----

void note_annotation(std::string_view key, const std::string& value, ContainerState& into)
{
    struct Field {
        std::string_view key;
        std::string ContainerState::*field;
    };
    static constexpr Field fields[] = {
        {"io.kubernetes.cri.container-name", &ContainerState::name},
        {"io.kubernetes.cri.sandbox-id", &ContainerState::sandbox},
        {"io.kubernetes.cri.sandbox-name", &ContainerState::pod_name},
        {"io.kubernetes.cri.sandbox-namespace", &ContainerState::pod_namespace},
        {"io.kubernetes.cri-o.SandboxID", &ContainerState::sandbox},
        {"io.kubernetes.cri-o.KubeName", &ContainerState::pod_name},        // of the sandbox only
        {"io.kubernetes.cri-o.Namespace", &ContainerState::pod_namespace},  // of the sandbox only
        {"io.kubernetes.container.name", &ContainerState::name},
        {"io.kubernetes.pod.name", &ContainerState::pod_name},
        {"io.kubernetes.pod.namespace", &ContainerState::pod_namespace},
        {"io.kubernetes.sandbox.id", &ContainerState::sandbox},
        {"nerdctl/name", &ContainerState::name},
    };
    for (const Field& field : fields)
        if (field.key == key) set(into.*field.field, value);
    const bool type = key == "io.kubernetes.cri.container-type" || key == "io.kubernetes.cri-o.ContainerType" ||
                      key == "io.kubernetes.docker.type";
    if (type && !value.empty()) into.is_sandbox = value == "sandbox" || value == "podsandbox";
}

// A sandbox is known by its pod. The name that some engines write for it ("POD") is no user's.
void finish_annotations(ContainerState& into)
{
    if (!into.is_sandbox) return;
    into.name.clear();
    if (into.sandbox.empty()) into.sandbox = into.id;
}

void note_annotations(const json& object, ContainerState& into)
{
    if (!object.is_object()) return;
    for (const auto& [key, value] : object.items()) note_annotation(key, plain_text(value), into);
    finish_annotations(into);
}

// Takes the network namespace from a list of {type, path}: if none is listed it is the host's, and one without a path
// is new.
void note_netns(const json& namespaces, std::string_view type, ContainerState& into)
{
    if (!namespaces.is_array()) return;
    into.host_network = true;
    for (const json& one : namespaces) {
        if (text_at(one, {"type"}) != type) continue;
        into.host_network = false;
        set(into.netns, text_at(one, {"path"}));
    }
}

std::string below_cgroup_mount(const std::string& directory)
{
    for (const std::string_view mount : cgroup_mounts)
        if (directory.starts_with(mount) && directory.size() > mount.size() && directory[mount.size()] == '/')
            return directory.substr(mount.size());
    return {};
}

bool is_id(std::string_view text)
{
    return text.size() == id_length && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Status read_runc_state(std::string_view text, ContainerState& into)
{
    HW_TRY(const json state, parse_object(text));
    set(into.id, text_at(state, {"id"}));
    into.pid = pid_at(state, {"init_process_pid"});
    into.start_time = number_at(state, {"init_process_start"});
    // The path without a name is cgroup2's; other hierarchies have names.
    set(into.cgroup, below_cgroup_mount(text_at(state, {"cgroup_paths", ""})));
    note_netns(at(state, {"config", "namespaces"}), "NEWNET", into);
    // The labels are the bundle and the annotations, as "key=value".
    const json& labels = at(state, {"config", "labels"});
    if (!labels.is_array()) return {};
    for (const json& label : labels) {
        const auto words = plain_text(label);
        const auto equals = words.find('=');
        if (equals == std::string::npos) continue;
        if (words.substr(0, equals) == "bundle") set(into.bundle, words.substr(equals + 1));
        note_annotation(words.substr(0, equals), words.substr(equals + 1), into);
    }
    finish_annotations(into);
    return {};
}

Status read_crun_status(std::string_view text, ContainerState& into)
{
    HW_TRY(const json status, parse_object(text));
    into.pid = pid_at(status, {"pid"});
    into.start_time = number_at(status, {"process-start-time"});
    set(into.bundle, text_at(status, {"bundle"}));
    auto cgroup = text_at(status, {"cgroup-path"});
    if (!cgroup.empty() && !cgroup.starts_with('/')) cgroup.insert(0, "/");
    set(into.cgroup, std::move(cgroup));
    return {};
}

Status read_bundle_config(std::string_view text, ContainerState& into)
{
    HW_TRY(const json config, parse_object(text));
    note_netns(at(config, {"linux", "namespaces"}), "network", into);
    note_annotations(at(config, {"annotations"}), into);
    return {};
}

Status read_docker_config(std::string_view text, ContainerState& into)
{
    HW_TRY(const json config, parse_object(text));
    set(into.id, text_at(config, {"ID"}));
    auto name = text_at(config, {"Name"});
    set(into.name, name.starts_with('/') ? name.substr(1) : name);
    if (into.pid == 0) into.pid = pid_at(config, {"State", "Pid"});
    if (into.netns.empty()) into.netns = text_at(config, {"NetworkSettings", "SandboxKey"});
    note_annotations(at(config, {"Config", "Labels"}), into);  // cri-dockerd writes them as labels
    return {};
}

Result<std::vector<ContainerState>> read_storage(std::string_view text)
{
    const auto list = json::parse(text, nullptr, false);
    if (!list.is_array()) return fail(ErrorKind::failed, "no JSON array");
    std::vector<ContainerState> out;
    for (const json& entry : list) {
        ContainerState one;
        one.id = text_at(entry, {"id"});
        const json& names = at(entry, {"names"});
        if (names.is_array() && !names.empty()) one.name = plain_text(names.front());
        if (!one.id.empty()) out.push_back(std::move(one));
    }
    return out;
}

std::string container_of_cgroup(std::string_view name)
{
    if (name.ends_with(".scope")) name.remove_suffix(std::string_view(".scope").size());
    for (const std::string_view prefix : engine_prefixes) {
        if (!name.starts_with(prefix)) continue;
        name.remove_prefix(prefix.size());
        break;
    }
    return is_id(name) ? std::string(name) : std::string();
}

std::uint64_t start_time_of(std::string_view stat)
{
    // The second field, the command's name in parentheses, may hold anything: fields are counted from its end.
    const auto close = stat.rfind(')');
    if (close == std::string_view::npos) return 0;
    std::string_view rest = stat.substr(close + 1);
    for (int field = 2; field < 22; ++field) {
        const auto space = rest.find(' ');
        if (space == std::string_view::npos) return 0;
        rest.remove_prefix(space + 1);
    }
    std::uint64_t ticks = 0;
    std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
    return ticks;
}

std::string describe(const ContainerState& container)
{
    const auto id = is_id(container.id) ? container.id.substr(0, short_id_length) : container.id;
    std::string text = container.name.empty() || container.name == id ? id : fmt::format("{} ({})", container.name, id);
    if (!container.pod_name.empty()) text += fmt::format(" of pod {}/{}", container.pod_namespace, container.pod_name);
    return text;
}

}  // namespace headwind
