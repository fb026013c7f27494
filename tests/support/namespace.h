// SPDX-License-Identifier: MIT
// Network namespaces of a test's own, mounted on a /run/netns that only this process sees, beside a BPF file system and
// a PID namespace of its own.
//
// Other headwinds of the host share neither lock nor rules with the tests, and nothing outlives the process. Process 1
// of that PID namespace is a guardian, which restores what would outlive it (netdev_max_backlog, cgroups), also if this
// process is killed.
#pragma once

#include <cstdint>
#include <string>

#include "util/fd.h"

namespace headwind::test {

// Throws std::runtime_error, which gtest reports, if something that the test is built on is missing.
void require(bool fulfilled, const std::string& otherwise);
// Makes a new folder in the folder for temporary files, which the caller removes.
std::string temporary_folder(const std::string& name);

// Goes on, once, as a child process with its own /run/netns, /sys/fs/bpf, PID and network namespace, whose end ends
// this process, too. Waits for other test processes of this binary where they share netdev_max_backlog. Returns an
// empty string, or why it failed. To be called before any thread is started.
std::string isolate();
// A number that differs between all test processes of the host, whose process ids may be the same.
int unique_number();

class Namespace {
public:
    explicit Namespace(std::string name);  // /run/netns/NAME; lo is up
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;
    ~Namespace();  // ends every process in it, and `headwind clear`

    const std::string& name() const { return name_; }
    const std::string& path() const { return path_; }
    int fd() const { return fd_.get(); }
    std::uint64_t inode() const { return inode_; }

private:
    std::string name_, path_;
    Fd fd_;
    std::uint64_t inode_ = 0;
};

// Puts the calling thread into the namespace as long as this lives. Sockets stay in the namespace they were made in.
class Inside {
public:
    explicit Inside(const Namespace& where);
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside();

private:
    Fd home_;
};

// Runs "ip ..." and "tc ..." in a namespace; `commands` may be several, one a line. Throws if one of them fails.
void ip(const Namespace& where, const std::string& commands);
std::string tc(const Namespace& where, const std::string& arguments);  // its output

int device_index(const Namespace& where, const std::string& device);
// Waits until the kernel's link watch has run: until then an end of a veth pair that came up before the other silently
// drops what is sent.
void wait_until_operational(const Namespace& where, const std::string& device);

std::string read_sysctl_of(const Namespace& where, const std::string& name);  // net/ipv4/...
// A counter of the namespace's stack, by its name in nstat: TcpInCsumErrors, Udp6InCsumErrors.
std::uint64_t stack_count(const Namespace& where, const std::string& name);
// Wire packets that TCP there has handed down: of sockets, and the answers of TIME_WAIT, which is none any more. (tcpi_
// segs_out lacks these.) A SYN-ACK that is sent again is in it twice.
std::uint64_t tcp_segments_out(const Namespace& where);

// Everything that an instance may leave in a namespace, as text: devices, qdiscs, filters, tcx programs, sysctls.
std::string footprint(const Namespace& where);

struct PairOptions {
    unsigned mtu = 1500;
    bool offloads = true;  // false: no segmentation or checksum offload, so every packet is a wire packet
};

// Two namespaces and a veth pair between them, operational, neighbours known.
class Pair {
public:
    static constexpr const char* device_a = "va";
    static constexpr const char* device_b = "vb";
    static constexpr const char* a4 = "10.77.0.1";
    static constexpr const char* b4 = "10.77.0.2";
    static constexpr const char* a6 = "fd77::1";
    static constexpr const char* b6 = "fd77::2";

    explicit Pair(const PairOptions& options = {});
    Namespace a{"a"}, b{"b"};
};

// A third namespace behind the pair's b, which forwards: a - b (device vb, device vc) - far (device vd).
struct Far {
    static constexpr const char* device_b = "vc";
    static constexpr const char* address4 = "10.79.0.2";
    static constexpr const char* address6 = "fd79::2";

    Far(const Namespace& a, const Namespace& b);
    Namespace far{"far"};
};

}  // namespace headwind::test
