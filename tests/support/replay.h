// The events of one chance, as the datapath draws them from its dice: what packets meet is predicted one by one.
#pragma once

#include <cstdint>

#include <headwind/model.h>

namespace headwind {

class Replay {
public:
    // dice_per_event: that for the gap, and what the event itself throws.
    Replay(const hw_chance& chance, std::uint64_t seed, unsigned dice_per_event = 1)
        : chance_(chance), seed_(seed), dice_per_event_(dice_per_event)
    {
    }

    // Does the next wire packet meet the event?
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
