// SPDX-License-Identifier: MIT
// The commands of --stop-if: each is run over and over, in a thread of its own and in the network namespace of its
// rule; the outcome of each run is handed to the agent's thread, which alone touches rules.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ruleset/stops.h"
#include "util/fd.h"
#include "util/result.h"

namespace headwind {

class Checks {
public:
    struct Outcome {
        std::string inode;  // of the network namespace
        StopCheck check;
        std::string failure;  // "exit status 1: no answer"; empty: it succeeded
    };

    static Result<Checks> open();
    Checks(Checks&&) noexcept;
    Checks& operator=(Checks&&) = delete;
    ~Checks();  // ends the runs under way

    // Runs exactly these checks for this network namespace from now on; `path`: a way into it.
    void set(const std::string& inode, const std::string& path, const std::vector<StopCheck>& checks);
    // The outcomes of runs that ended since the last call.
    std::vector<Outcome> take();
    // A descriptor that is readable if take() has something.
    int fd() const;

private:
    struct Shared;  // shared with the threads
    class Runner;
    explicit Checks(std::shared_ptr<Shared> shared);
    std::shared_ptr<Shared> shared_;
    std::map<std::pair<std::string, std::uint32_t>, std::unique_ptr<Runner>> runners_;  // by inode and stable_id
};

}  // namespace headwind
