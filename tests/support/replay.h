// SPDX-License-Identifier: MIT
// Draws the events of one chance as the datapath does from its dice, to predict what each packet meets.
#pragma once

#include <cstdint>

#include <headwind/model.h>

namespace headwind {

class Replay {
public:
    // `dice_per_event`: the one for the gap, and those that the event itself throws.
    Replay(const hw_chance& chance, std::uint64_t seed, unsigned dice_per_event = 1)
        : chance_(chance), seed_(seed), dice_per_event_(dice_per_event)
    {
    }

    // Whether the next wire packet meets the event.
    bool next()
    {
        if (chance_.threshold == 0) return false;
        if (until_ == 0) until_ = hw_draw_gap(&chance_, hw_dice(seed_, dice_per_event_ * gaps_++));
        return --until_ == 0;
    }
    std::uint64_t gaps() const { return gaps_; }  // drawn so far

private:
    hw_chance chance_;
    std::uint64_t seed_, dice_per_event_, gaps_ = 0, until_ = 0;
};

}  // namespace headwind
