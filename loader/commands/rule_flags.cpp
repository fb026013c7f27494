// The flags of rules, and the lines of rule files, which have the same.
#include "commands/cli.h"
#include "commands/rule_line.h"
#include "rule/protect.h"
#include "util/text.h"

namespace headwind {
namespace {

void add_value(CLI::App* command, const char* group, const char* flag, std::optional<std::string>& to, const char* type,
               const char* help)
{
    command->add_option(flag, to, help)->type_name(type)->group(group);
}

void add_selector_flags(CLI::App* command, RuleText& text)
{
    constexpr const char* group = "Which packets";
    // One text each: `run --port 80 -- bash -c ...` would lose its "--".
    const auto list = [command](const char* flag, std::vector<std::string>& to, const char* type, const char* help) {
        command->add_option(flag, to, help)->type_name(type)->group(group)->take_all()->allow_extra_args(false);
    };
    list("--dev,-i", text.devices, "NAME,...",
         "through these devices; tap*: all that match, now or later (else: the lowest that are up, lo included)");
    list("--cgroup", text.cgroups, "PATH", "of sockets in this cgroup or below it");
    list("--proto", text.protocols, "NAME|NUMBER,...", "tcp, udp, icmp, ...; arp, nd and dhcp only if named");
    list("--port", text.ports, "PORTS", "at either end: 22,80,8000-8080 (or 8000:8080)");
    list("--local-port,--src-port", text.local_ports, "PORTS", "at this end");
    list("--remote-port,--dst-port", text.remote_ports, "PORTS", "at the other end");
    list("--local,--src-network", text.locals, "CIDR,...", "address of this end, v4 or v6");
    list("--remote,--network", text.remotes, "CIDR,...", "address of the other end");
    add_value(command, group, "--flows", text.flows, "PERCENT",
              "only of this share of the flows (5-tuples), the same ones always: 5%");
    add_value(command, group, "--flow-seed", text.flow_seed, "N", "another choice of --flows (default 0)");
    add_value(command, group, "--direction", text.direction, "out|in|both",
              "out by default; both with --partition, --pass and --reject alone");
    add_value(command, group, "--priority", text.priority, "N",
              "-1000 .. 1000, default 0: the highest matching rule wins");
}

void add_hook_flags(CLI::App* command, RuleText& text)
{
    add_value(
        command, "Where it is decided", "--xdp", text.xdp, "auto|native|generic|off",
        "decide loss and partition of what comes in in XDP, before tc; auto (default): where the driver hands XDP "
        "metadata on, never on veth");
}

void add_hour_flags(CLI::App* command, RuleText& text)
{
    constexpr const char* group = "When, in the host's local time";
    add_value(command, group, "--between", text.between, "HH:MM-HH:MM",
              "only in these hours: 09:00-17:00; over midnight, 22:00-06:00, they belong to the day they begin on");
    add_value(command, group, "--days", text.days, "DAY,...", "only on these days: mon-fri; sat,sun; fri-mon");
}

void add_impairment_flags(CLI::App* command, RuleText& text)
{
    constexpr const char* group = "What happens to them";
    const auto value = [command](const char* flag, std::optional<std::string>& to, const char* type, const char* help) {
        add_value(command, group, flag, to, type, help);
    };
    value("--delay,--latency", text.delay, "TIME", "hold each packet this long: 250ms, 1.5s");
    value("--jitter,--delay-distro", text.jitter, "TIME", "more or less than --delay by up to this, at random: 20ms");
    value("--distribution,--delay-distribution", text.distribution, "uniform|normal",
          "of the jitter; normal: --jitter is the standard deviation (default uniform)");
    value("--loss,--packet-loss", text.loss, "PERCENT", "drop each wire packet with this probability: 10%");
    value("--corrupt", text.corrupt, "PERCENT", "flip a bit of a wire packet with this probability: 0.1%");
    value("--duplicate", text.duplicate, "PERCENT", "send a wire packet twice with this probability: 1%");
    value("--reorder,--reordering", text.reorder, "PERCENT",
          "send a packet without its --delay with this probability: 25%");
    value("--reorder-gap", text.reorder_gap, "N", "only every N-th packet may be reordered (default 1)");
    value("--rate", text.rate, "RATE", "send no faster: 1mbit, 512kbit (frames without FCS)");
    value("--queue", text.queue, "SIZE|TIME", "longest queue in front of --rate: 64kb, 50ms (default 200ms)");
    command->add_flag("--partition", text.partition, "drop every packet, both directions")->group(group);
    value("--reject", text.reject, "rst|icmp",
          "drop with an answer: what --loss takes, else every packet; rst: TCP with RST, the rest as icmp");
    value("--netem", text.netem, "WORDS", "all of this in the words of tc's netem: \"delay 100ms 20ms loss 1%\"");
    value("--flap", text.flap, "up=TIME,down=TIME",
          "by turns, in the kernel: up=30s,down=5s leaves them alone for 30 s, then does this (alone: drops all) for 5 "
          "s");
    value("--ramp", text.ramp, "WHAT=FROM..TO,...,over=TIME",
          "changes evenly, in the kernel, and then stays: delay=0ms..200ms,over=60s; also jitter, loss, corrupt, "
          "duplicate, rate");
    value("--trace", text.trace, "FILE",
          "follow a CSV file, in the kernel: a line time,delay,loss,rate (some of them; also jitter, corrupt, "
          "duplicate), then rows like 0s,20ms,1%,5mbit; -: as before");
    command->add_flag("--repeat", text.repeat, "start --ramp or --trace over when it has ended")->group(group);
    add_value(command, "When it stops by itself", "--max-share", text.max_share, "PERCENT",
              "once it has matched more than this share of what passed a hook in a minute: 20%");
    add_value(command, "When it stops by itself", "--stop-if", text.stop_if, "COMMAND",
              "once this shell command fails, which `headwind agent` runs every 5 s: 'curl -fsS localhost/health'");
    command->add_flag("--pass", text.pass, "leave these alone (an exclusion: give it a higher --priority)")
        ->group(group);
}

void add_party_flags(CLI::App* command, PartyWords& words)
{
    constexpr const char* group = "Which packets";
    auto* container =
        command->add_option("--container", words.container, "of this container: id, 6 digits of it, name");
    auto* pod = command->add_option("--pod", words.pod, "of this pod, or of one of its containers");
    auto* pid = command->add_option("--pid", words.pid, "of this process and all of its cgroup");
    auto* at = command->add_option("--at", words.at,
                                   "where the rule sits: in the pod's network namespace, or at the host side of its "
                                   "veth; by default as is best");
    container->type_name("ID|NAME")->group(group);
    pod->type_name("NAMESPACE/NAME[/CONTAINER]")->group(group)->excludes(container);
    pid->type_name("N")->group(group)->excludes(container)->excludes(pod);
    at->type_name("pod|host")->group(group);
}

}  // namespace

void add_rule_flags(CLI::App* command, RuleText& text)
{
    add_selector_flags(command, text);
    add_impairment_flags(command, text);
    add_hour_flags(command, text);
    add_hook_flags(command, text);
}

void add_protect_flag(CLI::App* command, std::vector<std::string>& texts)
{
    command
        ->add_option("--protect", texts,
                     "let no rule of this namespace impair what comes from or goes to these addresses, ports or "
                     "cgroups (a path): until `headwind del protect-...`, or the last rule goes")
        ->type_name("CIDR|PORT|CGROUP,...")
        ->take_all()
        ->allow_extra_args(false);
}

void add_owner_flag(CLI::App* command, std::string& owner, const char* help)
{
    command->add_option("--owner", owner, help)->type_name("NAME")->envname("HEADWIND_OWNER");
}

void add_flags(CLI::App* command, AddWords& words)
{
    command->add_option("--name", words.text.name, "what list, stats and del call the rule")->required();
    add_rule_flags(command, words.text);
    add_party_flags(command, words.party);
    command->add_option("--for", words.duration, "the rule ends by itself after this time: 10m")->type_name("TIME");
    command
        ->add_option("--lease", words.lease,
                     "the rule ends unless it is renewed within this time: by --hold, or by `headwind renew`")
        ->type_name("TIME");
    add_protect_flag(command, words.protect);
    add_owner_flag(command, words.owner, "who this rule is of (default: the user)");
    command->add_flag("--replace", words.replace, "take the place of the rule of this name, in one instant");
    command
        ->add_option("--max-held", words.max_held,
                     "bytes that all held packets of this namespace may take: 256MiB by default")
        ->type_name("SIZE");
    command
        ->add_option("--max-rules", words.max_rules,
                     "room for so many rules, said with the first one of a namespace: 4096 by default")
        ->check(CLI::Range(1U, most_rules))
        ->type_name("N");
}

void change_flags(CLI::App* command, ChangeWords& words)
{
    command->add_option("name", words.names, "names, as `headwind list` shows them")->required();
    add_rule_flags(command, words.text);
    command->add_option("--for", words.duration, "from now until the rule ends; off: it does not end")
        ->type_name("TIME|off");
    command->add_flag("--go-on", words.go_on, "start it again after its --max-share or --stop-if has stopped it");
    add_protect_flag(command, words.protect);
}

RuleLine::RuleLine() : app_("batch")
{
    app_.set_help_flag();
    app_.require_subcommand(1);
    add_ = app_.add_subcommand("add");
    add_flags(add_, words_.add);
    change_ = app_.add_subcommand("change");
    change_flags(change_, words_.change);
    app_.add_subcommand("del")->add_option("name", words_.remove)->required();
}

Result<LineWords> RuleLine::parse(const std::string& line)
{
    words_ = {};
    try {
        HW_TRY(auto words, split_words(line));
        parse_words(app_, std::move(words));
    } catch (const CLI::Error& error) {
        return fail(ErrorKind::usage, "{}: write a line as `headwind add`, `change` or `del` have it, without headwind",
                    error.what());
    }
    words_.adds = add_->parsed();
    words_.changes = change_->parsed();
    return words_;
}

}  // namespace headwind
