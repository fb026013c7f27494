// SPDX-License-Identifier: MIT
// Runs pods: sandboxes and containers of runc, with a network of the CNI plugins.
#include "pod.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace headwind::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* plugins = "/usr/lib/cni";
constexpr const char* runtime_folder = "/run/runc";

void require_success(const Output& output, const std::string& what)
{
    require(output.status == 0, what + ": " + output.out + output.err);
}

std::string text_of(const fs::path& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string new_id()
{
    std::random_device random;
    std::string id;
    for (int i = 0; i < 64; ++i) id += "0123456789abcdef"[random() % 16];
    return id;
}

// Makes the smallest possible root: busybox, and the places where the rest is mounted.
void make_root(const fs::path& root)
{
    for (const char* folder : {"bin", "usr", "proc", "dev", "sys"}) fs::create_directories(root / folder);
    fs::copy_file("/bin/busybox", root / "bin/busybox");
    for (const char* link : {"lib", "lib64"}) fs::create_symlink(std::string("usr/") + link, root / link);
    std::ofstream(root / "probe.py").flush();
}

json mount_of(const std::string& to, const std::string& type, const std::string& from, const json& options)
{
    return {{"destination", to}, {"type", type}, {"source", from}, {"options", options}};
}

// The capabilities that engines give to any container.
json default_capabilities()
{
    const json names{"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER",  "CAP_KILL",  "CAP_NET_BIND_SERVICE",
                     "CAP_SETFCAP", "CAP_SETGID",       "CAP_SETPCAP", "CAP_SETUID"};
    return {{"bounding", names}, {"effective", names}, {"permitted", names}};
}

json spec_of(const std::string& id, const Arguments& command, const fs::path& root, const std::string& netns,
             const json& annotations)
{
    json namespaces = json::array({{{"type", "network"}, {"path", netns}}});
    for (const char* type : {"pid", "ipc", "uts", "mount"}) namespaces.push_back({{"type", type}});
    return {
        {"ociVersion", "1.0.2"},
        {"process",
         {{"args", command},
          {"cwd", "/"},
          {"env", {"PATH=/bin:/usr/bin"}},
          {"user", {{"uid", 0}, {"gid", 0}}},
          {"capabilities", default_capabilities()}}},
        {"root", {{"path", root.string()}, {"readonly", true}}},
        {"hostname", "pod"},
        {"mounts",
         {mount_of("/proc", "proc", "proc", json::array()), mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755"}),
          mount_of("/usr", "none", "/usr", {"rbind", "ro"}),
          mount_of("/probe.py", "none", container_probe(), {"bind", "ro"})}},
        {"linux", {{"cgroupsPath", "/" + id}, {"namespaces", namespaces}}},
        {"annotations", annotations}};
}

}  // namespace

std::string repository_file(const std::string& path)
{
    return HEADWIND_REPOSITORY "/" + path;
}

std::string container_probe()
{
    return repository_file("tests/support/container_probe.py");
}

std::string Node::missing()
{
    for (const std::string tool :
         {"/usr/sbin/runc", "/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/bin/busybox", "/usr/bin/python3"})
        if (access(tool.c_str(), X_OK) != 0) return "no " + tool + ": run tools/setup";
    return access(container_probe().c_str(), R_OK) == 0 ? "" : "no " + container_probe();
}

Node::Node() : folder_(temporary_folder("pods"))
{
    static const bool mounted = (mkdir(runtime_folder, 0755) == 0 || errno == EEXIST) &&
                                mount("tests", runtime_folder, "tmpfs", 0, "mode=0755") == 0;
    require(mounted, std::string("mount ") + runtime_folder);
    make_root(folder_ / "rootfs");
}

Node::~Node()
{
    std::error_code error;
    fs::remove_all(folder_, error);
}

Pod::Pod(const Node& node, const std::string& name)
    : node_(node), name_(name), netns_("pod-" + name), sandbox_(new_id())
{
    plug("ADD");
    run(sandbox_, "", {"/bin/busybox", "sleep", "100000"});
}

Pod::~Pod()
{
    for (const auto& [container, one] : containers_) remove(one.id);
    remove(sandbox_);
    try {
        plug("DEL");
    } catch (const std::exception&) {
        static_cast<void>(0);  // the namespace's end takes the devices with it
    }
}

void Pod::plug(const std::string& command)
{
    const json ranges =
        json::array({json::array({{{"subnet", "10.88.0.0/16"}}}), json::array({{{"subnet", "fd88::/64"}}})});
    const json configuration{
        {"cniVersion", "0.4.0"},
        {"name", "tests"},
        {"type", "bridge"},
        {"bridge", "cni0"},
        {"isGateway", true},
        {"ipam", {{"type", "host-local"}, {"dataDir", (node_.folder() / "addresses").string()}, {"ranges", ranges}}}};
    const auto file = node_.folder() / ("cni-" + name_);
    std::ofstream(file) << configuration;
    const auto output =
        test::run(&node_.host(), {"sh", "-c", std::string(plugins) + "/bridge < " + file.string()},
                  {"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + sandbox_, "CNI_NETNS=" + netns_.path(),
                   "CNI_IFNAME=eth0", std::string("CNI_PATH=") + plugins});
    require_success(output, "CNI " + command);
    if (command != "ADD") return;
    const auto result = json::parse(output.out, nullptr, false);
    require(result.is_object() && result.contains("ips") && result["ips"].size() == 2, "CNI: " + output.out);
    for (const auto& address : result["ips"]) {
        const auto text = address["address"].get<std::string>();
        auto& into = text.find(':') == std::string::npos ? address4_ : address6_;
        into = text.substr(0, text.find('/'));
    }
}

void Pod::run(const std::string& id, const std::string& container, const Arguments& command)
{
    const auto bundle = node_.folder() / id;
    fs::create_directories(bundle);
    json annotations{{"io.kubernetes.cri.sandbox-id", sandbox_},
                     {"io.kubernetes.cri.sandbox-name", name_},
                     {"io.kubernetes.cri.sandbox-namespace", "default"},
                     {"io.kubernetes.cri.container-type", container.empty() ? "sandbox" : "container"}};
    if (!container.empty()) annotations["io.kubernetes.cri.container-name"] = container;
    std::ofstream(bundle / "config.json")
        << spec_of(id, command, node_.folder() / "rootfs", netns_.path(), annotations);
    require_success(
        test::run(nullptr, {"sh", "-c",
                            "runc run --detach --bundle " + bundle.string() + " " + id + " </dev/null >" +
                                bundle.string() + "/out 2>&1 || { cat " + bundle.string() + "/out; exit 1; }"}),
        "runc run");
}

void Pod::remove(const std::string& id) const
{
    test::run(nullptr, {"runc", "delete", "--force", id});
    std::error_code error;
    fs::remove_all(node_.folder() / id, error);
}

void Pod::start(const std::string& container)
{
    auto& one = containers_[container];
    if (one.port == 0) one.port = port + static_cast<unsigned>(containers_.size()) - 1;
    one.id = new_id();
    run(one.id, container, {"/usr/bin/python3", "/probe.py", "serve", std::to_string(one.port)});
    const auto log = node_.folder() / one.id / "out";
    require(eventually([&] { return text_of(log) == "ready\n"; }), container + " is not ready: " + text_of(log));
}

void Pod::stop(const std::string& container)
{
    remove(containers_.at(container).id);
}

int Pod::pid_of(const std::string& container) const
{
    const auto state = json::parse(test::run(nullptr, {"runc", "state", id(container)}).out, nullptr, false);
    require(state.is_object(), "runc state");
    return state["pid"];
}

std::size_t Pod::ask(const std::string& container, const std::string& address, unsigned to_port, std::size_t count,
                     bool all_at_once) const
{
    const auto output = test::run(nullptr,
                                  {"runc", "exec", id(container), "/usr/bin/python3", "/probe.py", "ask", address,
                                   std::to_string(to_port), std::to_string(count), all_at_once ? "0" : "10"},
                                  {}, std::chrono::seconds(120));
    require_success(output, "runc exec");
    return std::stoul(output.out);
}

std::unique_ptr<Process> Pod::watch(const std::string& container, const std::string& address, unsigned to_port) const
{
    return std::make_unique<Process>(nullptr, Arguments{"runc", "exec", id(container), "/usr/bin/python3", "/probe.py",
                                                        "watch", address, std::to_string(to_port)});
}

}  // namespace headwind::test
