// SPDX-License-Identifier: MIT
// Appends events to the file, begins another when it is full, and follows it.
#include "event/event_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "host/host.h"

namespace headwind {
namespace {

constexpr off_t most_bytes = 1 << 20;

std::string folder()
{
    return host_root() + "/run/headwind";
}

std::string current_file()
{
    return folder() + "/events.jsonl";
}

std::string old_file()
{
    return folder() + "/events.old.jsonl";
}

Status make_folder()
{
    if (mkdir(folder().c_str(), 0755) != 0 && errno != EEXIST) return fail_errno(errno, "create " + folder());
    return {};
}

// Whether `path` names the open file.
bool is_at(const Fd& file, const std::string& path)
{
    struct stat open_one {
    }, named{};
    return fstat(file.get(), &open_one) == 0 && stat(path.c_str(), &named) == 0 && open_one.st_ino == named.st_ino &&
           open_one.st_dev == named.st_dev;
}

// LOCK_SH is held by who writes: the file is not renamed meanwhile. LOCK_EX by who renames it. Both for an instant,
// unless the process is stopped just then: who waits longer goes on without, since a command must not hang for events.
bool lock(const Fd& file, int operation, int tries)
{
    while (flock(file.get(), operation | LOCK_NB) != 0) {
        if (--tries == 0) return false;
        usleep(1'000);
    }
    return true;
}

Result<Fd> open_to_append()
{
    const auto path = current_file();
    for (int tries = 1;; ++tries) {
        Fd file(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!file) return fail_errno(errno, "open " + path);
        lock(file, LOCK_SH, 200);  // without it, an event may be in the old file, unseen by who follows
        if (is_at(file, path) || tries == 100) return file;
    }
}

void begin_another_if_full(const Fd& file)
{
    struct stat info {};
    if (fstat(file.get(), &info) != 0 || info.st_size < most_bytes) return;
    if (!lock(file, LOCK_EX, 20) || !is_at(file, current_file())) return;  // the next writer does it
    std::rename(current_file().c_str(), old_file().c_str());
}

}  // namespace

Status keep(std::vector<Event> events)
{
    if (events.empty()) return {};
    std::string lines;
    for (auto& event : events) {
        event.time_unix_ms = unix_ms_now();
        lines += to_json_line(event) + "\n";
    }
    HW_CHECK(make_folder());
    HW_TRY(const auto file, open_to_append());
    const auto written = write(file.get(), lines.data(), lines.size());
    if (written < 0) return fail_errno(errno, "write " + current_file());
    if (static_cast<std::size_t>(written) != lines.size()) return fail_errno(ENOSPC, "write " + current_file());
    begin_another_if_full(file);
    return {};
}

Result<KeptEvents> KeptEvents::open(From from)
{
    HW_CHECK(make_folder());
    KeptEvents out;
    out.inotify_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!out.inotify_) return fail_errno(errno, "open inotify");
    if (inotify_add_watch(out.inotify_.get(), folder().c_str(), IN_MODIFY | IN_CREATE | IN_ONLYDIR) < 0)
        return fail_errno(errno, "watch " + folder());
    if (from == From::oldest) out.file_ = Fd(::open(old_file().c_str(), O_RDONLY | O_CLOEXEC));
    if (!out.file_) out.file_ = Fd(::open(current_file().c_str(), O_RDONLY | O_CLOEXEC));
    if (from == From::now && out.file_) lseek(out.file_.get(), 0, SEEK_END);
    return out;
}

void KeptEvents::read_file(std::vector<Event>& out)
{
    std::array<char, 65'536> buffer{};
    for (ssize_t length = 0; (length = ::read(file_.get(), buffer.data(), buffer.size())) > 0;)
        rest_.append(buffer.data(), static_cast<std::size_t>(length));
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1)
        if (auto event = parse_event(rest_.substr(begin, end - begin))) out.push_back(std::move(*event));
    rest_.erase(0, begin);
}

std::vector<Event> KeptEvents::read()
{
    std::array<char, 4'096> ignored{};
    while (::read(inotify_.get(), ignored.data(), ignored.size()) > 0) {
    }
    std::vector<Event> out;
    if (!make_folder()) return out;
    inotify_add_watch(inotify_.get(), folder().c_str(), IN_MODIFY | IN_CREATE | IN_ONLYDIR);  // it may be another one
    // Three times at most: the end of the file that was read, the one that came after it, the one of now.
    for (int files = 0; files < 3; ++files) {
        const bool over = !file_ || !is_at(file_, current_file());  // nobody writes to it any more
        if (file_) read_file(out);
        if (!over) break;
        Fd next;
        if (file_ && !is_at(file_, old_file())) next = Fd(::open(old_file().c_str(), O_RDONLY | O_CLOEXEC));
        if (!next) next = Fd(::open(current_file().c_str(), O_RDONLY | O_CLOEXEC));
        if (!next) break;
        file_ = std::move(next);
        rest_.clear();
    }
    return out;
}

}  // namespace headwind
