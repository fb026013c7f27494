// SPDX-License-Identifier: MIT
// The one table of the flags that describe a rule. --help, man page, completions, "off" and "any" of `change`, flags
// that need others, JSON, refusals of `verify` and the tests' words come from it. Pure.
#pragma once

#include <span>
#include <string_view>
#include <variant>

#include "rule/rule.h"

namespace headwind {

enum class FlagKind {
    selector,    // selects packets
    impairment,  // happens to these packets; a Word or a Switch
    exclusive,   // takes the place of all impairments
    timeline,    // makes impairments vary
    other,
};

// The member of RuleSpec that a flag fills in. A List keeps every value.
using Word = std::optional<std::string> RuleSpec::*;
using List = std::vector<std::string> RuleSpec::*;
using Switch = bool RuleSpec::*;

// The member of Impairment that keeps a flag's value. An amount of 0 is none.
struct Amount {
    std::uint64_t Impairment::*at;
    Result<std::uint64_t> (*parse)(std::string_view);
    std::string (*format)(std::uint64_t);
    std::string_view unit;  // the unit that `at` counts, as parse() reads it
};
struct Chance {
    std::optional<Probability> Impairment::*at;
};

struct Flag {
    std::string_view name;          // as errors write it
    std::string_view aliases = {};  // with commas between them
    std::variant<Word, List, Switch> member;
    FlagKind kind;
    std::string_view group;      // heading in --help
    std::string_view type = {};  // the value's, in --help
    std::string_view help;
    std::string_view off = {};        // the value with which `change` takes the flag away; empty: none does
    Word needs = nullptr;             // the flag is refused without this one
    std::string_view needs_why = {};  // the text of that refusal
    bool leaves_with_needs = false;   // `change` that takes `needs` away takes this flag along
    std::variant<std::monostate, Amount, Chance> value = {};  // monostate: impairment.cpp reads an impairment
    // The key in the JSON of the selector or the impairment, for a Chance with _percent and _threshold behind it.
    // Empty: json.cpp knows the keys.
    std::string_view json = {};
    std::string_view unmeasured = {};  // why `verify` refuses it; empty: it does not
};

// All flags, in the order of --help.
std::span<const Flag> rule_flags();
const Flag& rule_flag(std::string_view name);  // `name`: in the table, and no alias
bool is_given(const Flag& flag, const RuleSpec& text);
// The text of a flag that is given, and that has a Word as its member.
const std::string& said(const Flag& flag, const RuleSpec& text);
// The refusal of a flag that is given, and has a Word or a Switch as its member.
tl::unexpected<Error> refuse_flag(const Flag& flag, const RuleSpec& text, std::string_view why);
// Whether the flag is given without the one it needs.
bool lacks_company(const Flag& flag, const RuleSpec& text);

}  // namespace headwind
