// SPDX-License-Identifier: MIT
// Isolates a test process, and makes and removes its network namespaces.
#include "namespace.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>

#include "command.h"
#include "host/netlink.h"
#include "host/netlink_request.h"

namespace headwind::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* names_folder = "/run/netns";
constexpr const char* pins_folder = "/sys/fs/bpf";
constexpr const char* files_folder = "/run/headwind";

std::uint64_t inode_of(const std::string& path)
{
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

std::vector<pid_t> processes_in(std::uint64_t inode)
{
    std::vector<pid_t> found;
    const auto wanted = "net:[" + std::to_string(inode) + "]";
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc", error)) {
        const auto name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        std::error_code ignored;
        if (fs::read_symlink(entry.path() / "ns/net", ignored) == wanted) found.push_back(std::stoi(name));
    }
    return found;
}

// Ends the processes in a namespace, and undoes whatever its instance changed on the host.
void empty(const std::string& path)
{
    const auto inode = inode_of(path);
    for (const pid_t pid : processes_in(inode))
        if (pid != getpid()) kill(pid, SIGKILL);
    if (access((pins_folder + std::string("/headwind/") + std::to_string(inode)).c_str(), F_OK) != 0) return;
    const Fd netns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    Process(netns.get(), {headwind_binary(), "clear", "--all"}, {}).wait();
}

int& number()
{
    static int value = getpid();
    return value;
}

std::string mount_own_file_systems()
{
    const auto error = [](const std::string& what) { return what + ": " + std::strerror(errno); };
    if (unshare(CLONE_NEWNS) != 0) return error("unshare the mounts");
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return error("make the mounts private");
    if (mount("proc", "/proc", "proc", 0, nullptr) != 0) return error("mount /proc");
    if (mkdir(names_folder, 0755) != 0 && errno != EEXIST) return error(names_folder);
    if (mount("tests", names_folder, "tmpfs", 0, "mode=0755") != 0) return error("mount /run/netns");
    if (mount("bpf", pins_folder, "bpf", 0, "mode=0700") != 0) return error("mount /sys/fs/bpf");
    if (mkdir(files_folder, 0755) != 0 && errno != EEXIST) return error(files_folder);
    if (mount("tests", files_folder, "tmpfs", 0, "mode=0755") != 0) return error("mount /run/headwind");
    return {};
}

int status_of(int waited)
{
    return WIFSIGNALED(waited) ? 128 + WTERMSIG(waited) : WEXITSTATUS(waited);
}

// The guardian, process 1 of its PID namespace: signals from inside do not reach it, and all processes there end with
// it.
[[noreturn]] void guard(pid_t test_process, int alive)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, nullptr);
    pollfd events[] = {{signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0}, {alive, POLLIN, 0}};
    int status = 1;
    for (bool ended = false; !ended;) {
        int waited = 0;
        for (pid_t child = 0; (child = waitpid(-1, &waited, WNOHANG)) > 0;) {
            if (child != test_process) continue;
            ended = true;
            status = status_of(waited);
        }
        if (ended) break;
        poll(events, 2, -1);
        signalfd_siginfo ignored{};
        while (read(events[0].fd, &ignored, sizeof(ignored)) > 0) {
        }
        if (events[1].revents == 0) continue;  // else the process that started the tests is gone
        kill(test_process, SIGKILL);
        events[1].fd = -1;
    }
    const int nothing = open("/dev/null", O_RDWR);
    for (const int fd : {0, 1, 2}) dup2(nothing, fd);
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(names_folder, error)) empty(entry.path().string());
    remove_test_cgroups();
    _exit(status);
}

// Returns in the child process that goes on with the tests, or where it failed: empty, or the error.
std::string isolate_once()
{
    const auto error = [](const std::string& what) { return what + ": " + std::strerror(errno); };
    static const Fd lock(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    const Fd initial(open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC));  // without it no test process can change the sysctl
    if (initial && (!lock || flock(lock.get(), LOCK_EX) != 0)) return error("lock the test program");
    int alive[2];
    if (pipe2(alive, O_CLOEXEC) != 0) return error("pipe");
    number() = getpid();
    std::fflush(nullptr);
    if (unshare(CLONE_NEWPID) != 0) return error("unshare the process ids");
    const pid_t guardian = fork();
    if (guardian < 0) return error("fork");
    if (guardian > 0) {
        close(alive[0]);
        int waited = 0;
        while (waitpid(guardian, &waited, 0) < 0 && errno == EINTR) {
        }
        _exit(status_of(waited));
    }
    close(alive[1]);
    auto failure = mount_own_file_systems();
    // If process 1's network namespace is the host's, the guardian stays there: sysctls are shown nowhere else.
    if (failure.empty() && !initial && unshare(CLONE_NEWNET) != 0) failure = error("unshare the network");
    const pid_t test_process = fork();
    if (test_process > 0) guard(test_process, alive[0]);
    if (test_process < 0) failure = error("fork");
    close(alive[0]);
    if (failure.empty() && unshare(CLONE_NEWNET) != 0) failure = error("unshare the network");
    return failure;
}

std::string operstate(const Namespace& where, int index)
{
    const Inside inside(where);
    netlink::Request request(RTM_GETLINK, 0);
    request.header<ifinfomsg>().ifi_index = index;
    const auto answer = netlink::send(request);
    if (!answer || answer->empty()) return "gone";
    const nlattr* found = netlink::find_attribute(answer->front().get(), sizeof(ifinfomsg), IFLA_OPERSTATE);
    if (found == nullptr) return "unknown";
    return netlink::value_of<std::uint8_t>(found) == 6 ? "up" : "down";  // IF_OPER_UP
}

void run_batch(const Namespace& where, const char* tool, const std::string& commands)
{
    const auto file = "/run/netns/." + where.name() + ".batch";
    std::ofstream(file) << commands << "\n";
    const auto result = run(&where, {tool, "-batch", file});
    fs::remove(file);
    require(result.status == 0, std::string(tool) + " " + commands + "\n" + result.err);
}

// The numbers of tcx programs on a device; "" where the kernel has no tcx.
std::string tcx_programs(int index)
{
    std::string text;
    for (const int hook : {46, 47}) {  // BPF_TCX_INGRESS, BPF_TCX_EGRESS: not in Debian 12's headers
        std::array<__u32, 64> ids{};
        __u32 flags = 0, count = ids.size();
        if (bpf_prog_query(index, static_cast<bpf_attach_type>(hook), 0, &flags, ids.data(), &count) != 0) continue;
        text += " tcx" + std::to_string(hook) + ":" + std::to_string(count);
    }
    return text;
}

}  // namespace

void require(bool fulfilled, const std::string& otherwise)
{
    if (!fulfilled) throw std::runtime_error(otherwise);
}

std::string temporary_folder(const std::string& name)
{
    auto pattern = fs::temp_directory_path().string() + "/headwind-" + name + "-XXXXXX";
    require(mkdtemp(pattern.data()) != nullptr, "make " + pattern);
    return pattern;
}

std::string isolate()
{
    static const std::string error = isolate_once();
    return error;
}

int unique_number()
{
    return number();
}

Namespace::Namespace(std::string name) : name_(std::move(name)), path_(std::string(names_folder) + "/" + name_)
{
    std::ofstream(path_).flush();
    std::string error;
    std::thread([&] {
        if (unshare(CLONE_NEWNET) != 0 ||
            mount("/proc/thread-self/ns/net", path_.c_str(), nullptr, MS_BIND, nullptr) != 0)
            error = std::strerror(errno);
    }).join();
    require(error.empty(), "make network namespace " + name_ + ": " + error);
    fd_ = Fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    inode_ = inode_of(path_);
    ip(*this, "link set dev lo up");
}

Namespace::~Namespace()
{
    empty(path_);
    umount2(path_.c_str(), MNT_DETACH);
    unlink(path_.c_str());
}

Inside::Inside(const Namespace& where) : home_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC))
{
    EXPECT_EQ(setns(where.fd(), CLONE_NEWNET), 0) << std::strerror(errno);
}

Inside::~Inside()
{
    EXPECT_EQ(setns(home_.get(), CLONE_NEWNET), 0) << std::strerror(errno);
}

void ip(const Namespace& where, const std::string& commands)
{
    run_batch(where, "ip", commands);
}

std::string tc(const Namespace& where, const std::string& arguments)
{
    auto command = words(arguments);
    command.insert(command.begin(), "tc");
    const auto result = run(&where, command);
    EXPECT_EQ(result.status, 0) << "tc " << arguments << "\n" << result.err;
    return result.out;
}

int device_index(const Namespace& where, const std::string& device)
{
    const Inside inside(where);
    return static_cast<int>(if_nametoindex(device.c_str()));
}

void wait_until_operational(const Namespace& where, const std::string& device)
{
    const int index = device_index(where, device);
    require(eventually([&] { return operstate(where, index) == "up"; }), device + " is not up");
}

std::string read_sysctl_of(const Namespace& where, const std::string& name)
{
    const Inside inside(where);
    std::ifstream file("/proc/sys/" + name);
    std::string value;
    file >> value;
    return value;
}

std::uint64_t stack_count(const Namespace& where, const std::string& name)
{
    const Inside inside(where);
    std::ifstream file6("/proc/thread-self/net/snmp6");
    std::string word;
    for (std::uint64_t value = 0; file6 >> word >> value;)
        if (word == name) return value;
    // These files have a line of names, then one of values; each starts with the protocol.
    for (const char* const path : {"/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"}) {
        std::ifstream file(path);
        for (std::string names, values; std::getline(file, names) && std::getline(file, values);) {
            std::istringstream name_words(names), value_words(values);
            std::string protocol, value;
            name_words >> protocol;
            value_words >> value;
            protocol.pop_back();
            while (name_words >> word && value_words >> value)
                if (protocol + word == name) return std::stoull(value);
        }
    }
    ADD_FAILURE() << "the kernel does not count " << name;
    return 0;
}

std::uint64_t tcp_segments_out(const Namespace& where)
{
    return stack_count(where, "TcpOutSegs") + stack_count(where, "TcpRetransSegs");
}

std::string footprint(const Namespace& where)
{
    std::ostringstream text;
    const Inside inside(where);
    const auto links = netlink::list_links();
    EXPECT_TRUE(links) << links.error().message;
    for (const auto& link : links ? *links : std::vector<netlink::Link>()) {
        const auto clsact = netlink::count_clsact_filters(link.index);
        text << link.index << " " << link.name << " mtu " << link.mtu << " filters " << (clsact ? *clsact : 0)
             << tcx_programs(link.index) << " xdp " << link.xdp_program << "\n";
    }
    for (const char* name : {"route_localnet", "accept_local"})
        text << name << " " << read_sysctl_of(where, std::string("net/ipv4/conf/lo/") + name) << "\n";
    return text.str() + tc(where, "qdisc show");
}

Pair::Pair(const PairOptions& options)
{
    const auto mtu = std::to_string(options.mtu);
    ip(a, "link add name va mtu " + mtu +
              " address 02:00:00:00:00:01 numrxqueues 1 numtxqueues 1 type veth peer name vb mtu " + mtu +
              " address 02:00:00:00:00:02 numrxqueues 1 numtxqueues 1 netns b");
    const auto configure = [](const Namespace& where, const char* device, const char* v4, const char* v6,
                              const char* peer4, const char* peer6, const char* peer) {
        const auto on = std::string(" dev ") + device;
        const auto neighbour = std::string(" lladdr ") + peer + " nud permanent" + on + "\n";
        ip(where, "link set addrgenmode none" + on + "\n" + "address add " + v4 + "/24" + on + "\n" + "address add " +
                      v6 + "/64 nodad" + on + "\n" + "link set up" + on + "\n" + "neighbour replace " + peer4 +
                      neighbour + "neighbour replace " + peer6 + neighbour);
    };
    configure(a, device_a, a4, a6, b4, b6, "02:00:00:00:00:02");
    configure(b, device_b, b4, b6, a4, a6, "02:00:00:00:00:01");
    if (!options.offloads) {
        for (const auto& [where, device] : {std::pair(&a, device_a), std::pair(&b, device_b)})
            EXPECT_EQ(run(where, words(std::string("ethtool -K ") + device + " tx off tso off gso off gro off")).status,
                      0);
    }
    wait_until_operational(a, device_a);
    wait_until_operational(b, device_b);
}

Far::Far(const Namespace& a, const Namespace& b)
{
    ip(b,
       "link add name vc address 02:00:00:00:00:03 type veth peer name vd address 02:00:00:00:00:04 netns far\n"
       "link set vc addrgenmode none\n"
       "address add 10.79.0.1/24 dev vc\n"
       "address add fd79::1/64 nodad dev vc\n"
       "link set vc up\n"
       "neighbour replace 10.79.0.2 lladdr 02:00:00:00:00:04 nud permanent dev vc\n"
       "neighbour replace fd79::2 lladdr 02:00:00:00:00:04 nud permanent dev vc");
    ip(far,
       "link set vd addrgenmode none\n"
       "address add 10.79.0.2/24 dev vd\n"
       "address add fd79::2/64 nodad dev vd\n"
       "link set vd up\n"
       "neighbour replace 10.79.0.1 lladdr 02:00:00:00:00:03 nud permanent dev vd\n"
       "neighbour replace fd79::1 lladdr 02:00:00:00:00:03 nud permanent dev vd\n"
       "route add default via 10.79.0.1\n"
       "route add default via fd79::1");
    for (const char* name : {"net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"})
        require(run(&b, {"sysctl", "-w", name}).status == 0, name);
    ip(a, "route add 10.79.0.0/24 via 10.77.0.2\nroute add fd79::/64 via fd77::2");
    wait_until_operational(b, device_b);
    wait_until_operational(far, "vd");
}

}  // namespace headwind::test
