// SPDX-License-Identifier: MIT
// The file that keeps the last events of this host for `headwind events`: lines of JSON, oldest first, below
// host_root() in /run/headwind/events.jsonl. At 1 MiB it becomes events.old.jsonl, in the place of the one before.
#pragma once

#include <string>
#include <vector>

#include "event/event.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

// Appends the events, whose time is now. Processes may do so at the same time: lines stay whole. Never waits long for
// another process, also if that is stopped.
Status keep(std::vector<Event> events);

// Reads the events, and those that come.
class KeptEvents {
public:
    enum class From { oldest, now };
    static Result<KeptEvents> open(From from);

    // The events that came since the last call, the last 1 to 2 MiB at least. What is no event is left out.
    std::vector<Event> read();
    // A descriptor that becomes readable when read() may have something. (Where somebody removes the folder it does
    // not: read() finds the new one.)
    int fd() const { return inotify_.get(); }

private:
    void read_file(std::vector<Event>& out);

    Fd inotify_, file_;
    std::string rest_;  // the beginning of a line whose end was not there yet
};

}  // namespace headwind
