// SPDX-License-Identifier: MIT
// Holds locks of the pin root for tests.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "net_test.h"
#include "util/fd.h"

namespace headwind::test {

// A lock of the pin root that this process holds, as a command does.
class HeldLock {
public:
    explicit HeldLock(const std::string& name) : path_(std::string(pins) + "/" + name)
    {
        for (const auto& path : {std::string(pins), path_})
            EXPECT_TRUE(mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) << path;
        lock_ = Fd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        EXPECT_EQ(flock(lock_.get(), LOCK_EX), 0);
    }
    HeldLock(const HeldLock&) = delete;
    HeldLock& operator=(const HeldLock&) = delete;
    ~HeldLock() { give_back(); }
    void give_back() { lock_ = Fd(); }
    // The number of processes that wait for the lock.
    unsigned waiting() const
    {
        struct stat info {};
        EXPECT_EQ(fstat(lock_.get(), &info), 0);
        const auto inode = fmt::format(":{} ", info.st_ino);
        std::ifstream locks("/proc/locks");
        unsigned count = 0;
        for (std::string line; std::getline(locks, line);)
            if (line.find("->") != std::string::npos && line.find(inode) != std::string::npos) ++count;
        return count;
    }

private:
    std::string path_;
    Fd lock_;
};

inline std::string lock_of(const Namespace& where)
{
    return "lock-" + std::to_string(where.inode());
}

}  // namespace headwind::test
