// SPDX-License-Identifier: MIT
// Starts an sshd in a namespace, and types commands in its sessions.
#include "ssh_host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include <fmt/format.h>

#include "namespace.h"
#include "pod.h"

namespace headwind::test {
namespace {

namespace fs = std::filesystem;

std::string packages()
{
    const char* given = std::getenv("HEADWIND_SSH");
    return given != nullptr ? given : repository_file("build/ssh");
}

}  // namespace

std::string SshHost::missing()
{
    for (const auto& tool : {packages() + "/usr/sbin/sshd", packages() + "/usr/bin/sudo"})
        if (access(tool.c_str(), X_OK) != 0) return "no " + tool + ": tools/test brings it";
    for (const std::string tool : {"/usr/bin/ssh", "/usr/bin/ssh-keygen", "/usr/bin/tmux", "/usr/bin/su"})
        if (access(tool.c_str(), X_OK) != 0) return "no " + tool + ": run tools/setup";
    const auto tried = run(
        nullptr,
        {"unshare", "--mount", "bash", "-c",
         "mount -t tmpfs tmpfs /var/log && mkdir /var/log/{a,b} && mount -t overlay -o lowerdir=/etc,upperdir=/var/log/a,workdir=/var/log/b overlay /etc"});
    return tried.status == 0 ? "" : "this machine mounts no overlay on its root: " + tried.err;
}

SshHost::SshHost(const Namespace& where) : folder_(temporary_folder("ssh"))
{
    fs::permissions(folder_, static_cast<fs::perms>(0755));
    fs::create_directory(folder_ + "/layers");
    server_.emplace(&where, Arguments{"unshare", "--mount", "bash", repository_file("tests/support/ssh_host.sh"),
                                      folder_, packages(), headwind_binary(), user});
}

SshHost::~SshHost()
{
    server_.reset();
    std::error_code error;
    fs::remove_all(folder_, error);
}

Login::Login(const SshHost& host, const Namespace& from, const std::string& user, const std::string& address)
{
    static int count = 0;
    keyboard_ = fmt::format("{}/keyboard{}", host.folder(), ++count);
    if (mkfifo(keyboard_.c_str(), 0600) != 0) throw std::runtime_error("make " + keyboard_);
    keys_ = Fd(open(keyboard_.c_str(), O_RDWR | O_CLOEXEC));
    // -tt gives the session a terminal although the input is none. It has no size from here, and tmux wants one.
    ssh_.emplace(
        &from,
        Arguments{
            "bash", "-c",
            fmt::format(
                "exec env TERM=xterm ssh -F none -tt -i {}/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=20 -p {} {}@{} <{}",
                host.folder(), SshHost::port, user, address, keyboard_)});
    execute("stty rows 50 cols 200");
}

Login::~Login()
{
    ssh_.reset();
    unlink(keyboard_.c_str());
}

void Login::type(const std::string& line) const
{
    const auto text = line + "\n";
    if (write(keys_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        throw std::runtime_error("type " + line);
}

bool Login::shows(const std::string& text) const
{
    return eventually(patience, [&] { return screen().find(text) != std::string::npos; });
}

int Login::execute(const std::string& command)
{
    // The terminal shows the typed line, too, which has quotes where the answer has none.
    const auto mark = fmt::format("done{}=", ++commands_);
    type(fmt::format("{}; echo done''{}=$?.", command, commands_));
    int status = -1;
    eventually(patience, [&] {
        const auto text = screen();
        const auto at = text.rfind(mark);
        if (at == std::string::npos || text.find('.', at) == std::string::npos) return false;
        status = std::atoi(text.c_str() + at + mark.size());
        return true;
    });
    return status;
}

bool Login::leave()
{
    type("exit");
    return !ssh_->wait(patience).timed_out;
}

}  // namespace headwind::test
