// The one table of the flags that describe a rule. --help, man page, completions, "off" and "any" of `change`, flags
// that need others, JSON, refusals of `verify` and the tests' words come from it. Pure.
#pragma once

#include <span>
#include <string_view>
#include <variant>

#include "rule/rule.h"

namespace headwind {

enum class FlagKind {
    selector,    // which packets
    impairment,  // what happens to them; a Word
    exclusive,   // takes the place of all impairments
    timeline,    // impairments that vary
    other,
};

// The member of RuleText that a flag fills in. A List keeps every value.
using Word = std::optional<std::string> RuleText::*;
using List = std::vector<std::string> RuleText::*;
using Switch = bool RuleText::*;

// Where an Impairment keeps a flag's value. An amount of 0 is none.
struct Amount {
    std::uint64_t Impairment::*at;
    Result<std::uint64_t> (*parse)(std::string_view);
    std::string (*format)(std::uint64_t);
    std::string_view unit;  // what `at` counts, as parse() reads it
};
struct Chance {
    std::optional<Probability> Impairment::*at;
};

struct Flag {
    std::string_view name;          // as errors have it
    std::string_view aliases = {};  // with commas between them
    std::variant<Word, List, Switch> member;
    FlagKind kind;
    std::string_view group;      // heading in --help
    std::string_view type = {};  // of the value, in --help
    std::string_view help;
    std::string_view off = {};        // the value by which `change` takes it away; empty: none does
    Word needs = nullptr;             // it is refused without this one
    std::string_view needs_why = {};  // and what the refusal says
    bool leaves_with_needs = false;   // `change` that takes that one away takes it along
    std::variant<std::monostate, Amount, Chance> value = {};  // monostate: impairment.cpp reads it, if it is one
    // Key in the JSON of the selector or the impairment; a Chance's has _percent and _threshold behind it. Empty:
    // json.cpp knows the keys.
    std::string_view json = {};
    std::string_view unmeasured = {};  // why `verify` refuses it; empty: it does not
};

// In the order of --help.
std::span<const Flag> rule_flags();
const Flag& rule_flag(std::string_view name);  // a name that is in the table, and no alias
bool is_given(const Flag& flag, const RuleText& text);
// The text of a flag that is given and whose member is a Word.
const std::string& said(const Flag& flag, const RuleText& text);
// Refuses a flag of this kind that is given without the one it needs.
Status check_company(FlagKind kind, const RuleText& text);

}  // namespace headwind
