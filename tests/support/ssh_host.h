// SPDX-License-Identifier: MIT
// A host to log in at: Debian's sshd and sudo, unpacked and not installed, in a mount namespace with an /etc, /usr,
// /run and /var/log of its own. Nothing of the machine is changed: files written there are in memory.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "command.h"
#include "namespace.h"

namespace headwind::test {

class SshHost {
public:
    static constexpr const char* user = "tester";  // beside root; may use sudo and su without a password
    static constexpr std::uint16_t port = 22;      // at all addresses of the namespace

    // The reason why there can be no such host here; empty: there can. The packages are in $HEADWIND_SSH, or where
    // tools/test puts them.
    static std::string missing();

    explicit SshHost(const Namespace& where);
    SshHost(const SshHost&) = delete;
    SshHost& operator=(const SshHost&) = delete;
    ~SshHost();

    const std::string& folder() const { return folder_; }  // temporary; inside it is at the same path
    std::string log() const { return server_->err(); }
    bool running() { return server_->running(); }

private:
    std::string folder_;
    std::optional<Process> server_;
};

// An interactive ssh session: types at a terminal of the host, and reads what it shows.
class Login {
public:
    Login(const SshHost& host, const Namespace& from, const std::string& user, const std::string& address);
    Login(const Login&) = delete;
    Login& operator=(const Login&) = delete;
    ~Login();

    void type(const std::string& line) const;
    bool shows(const std::string& text) const;  // within 20 s
    // Types a command at the shell and waits for its end: its exit status; -1 if nothing came within 20 s.
    int execute(const std::string& command);
    std::string screen() const { return ssh_->out() + ssh_->err(); }  // so far, escape sequences included
    bool leave();                                                     // true: the connection is closed

private:
    std::string keyboard_;
    Fd keys_;
    std::optional<Process> ssh_;
    int commands_ = 0;
};

}  // namespace headwind::test
