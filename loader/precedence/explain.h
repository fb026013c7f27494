// SPDX-License-Identifier: MIT
// Asks the datapath's own lookup which rule a packet would get (bpf/explain.bpf.c). Nothing is sent, written or pinned.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <headwind/question.h>
#include <headwind/testing.h>

#include "datapath/instance.h"
#include "explain.skel.h"
#include "util/result.h"

namespace headwind {

class Explainer {
public:
    // Makes `map` the map of an instance that is pinned by this name.
    using Share = std::function<Status(bpf_map* map, const char* name)>;
    static Result<Explainer> load(const Share& share);
    // Over the maps of the instance.
    static Result<Explainer> load(const Instance& instance);

    // The id of the rule that the packet gets at this moment; 0: none. Of a panic it knows nothing.
    Result<std::uint32_t> winner(const hw_question& question) const;

private:
    struct Delete {
        void operator()(explain_bpf* skeleton) const { explain_bpf__destroy(skeleton); }
    };
    std::unique_ptr<explain_bpf, Delete> skeleton_;
};

}  // namespace headwind
