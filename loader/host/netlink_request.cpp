// SPDX-License-Identifier: MIT
// Exchanges messages with rtnetlink, and takes answers, refusals and attributes apart.
#include "host/netlink_request.h"

#include <memory>

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

namespace headwind::netlink {
namespace {

constexpr std::uint32_t sequence = 1;  // every request has a socket of its own
constexpr int dump_attempts = 8;

struct SocketCloser {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, SocketCloser>;

tl::expected<Socket, Refusal> open_socket()
{
    Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return tl::unexpected(Refusal{errno, "no rtnetlink socket"});
    }
    int on = 1;  // both only make the kernel's answers to errors better
    mnl_socket_setsockopt(socket.get(), NETLINK_EXT_ACK, &on, sizeof(on));
    mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, &on, sizeof(on));
    return socket;
}

Refusal read_refusal(const nlmsghdr* message)
{
    if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) return {EBADMSG, {}};
    const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
    Refusal refusal{-error->error, {}};
    if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return refusal;

    std::size_t offset = sizeof(nlmsgerr);
    if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
    refusal.text = text_of(find_attribute(message, offset, NLMSGERR_ATTR_MSG));
    return refusal;
}

const nlattr* find_between(const void* first, const void* end, unsigned type)
{
    const auto* attribute = static_cast<const nlattr*>(first);
    const auto left = [&] {
        return static_cast<int>(static_cast<const char*>(end) - reinterpret_cast<const char*>(attribute));
    };
    for (; mnl_attr_ok(attribute, left()); attribute = mnl_attr_next(attribute)) {
        if (mnl_attr_get_type(attribute) == type) return attribute;
    }
    return nullptr;
}

int done_error(const nlmsghdr* message)
{
    int error = 0;
    if (mnl_nlmsg_get_payload_len(message) < sizeof(error)) return 0;
    std::memcpy(&error, mnl_nlmsg_get_payload(message), sizeof(error));
    return error < 0 ? -error : 0;
}

// The part of an answer that has come in so far.
struct Inbox {
    std::vector<Message> messages;
    Refusal refusal;
    bool complete = false;
    bool interrupted = false;  // the list changed while it was dumped
};

void accept_message(Inbox& inbox, const nlmsghdr* message)
{
    if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) inbox.interrupted = true;
    switch (message->nlmsg_type) {
        case NLMSG_NOOP: return;
        case NLMSG_ERROR:
            inbox.refusal = read_refusal(message);
            inbox.complete = true;
            return;
        case NLMSG_DONE:
            inbox.refusal.error = done_error(message);
            inbox.complete = true;
            return;
        default: inbox.messages.emplace_back(message);
    }
}

void accept_datagram(Inbox& inbox, const std::vector<char>& buffer, std::size_t length, unsigned port)
{
    int left = static_cast<int>(length);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(message, left) && !inbox.complete; message = mnl_nlmsg_next(message, &left)) {
        const bool ours = mnl_nlmsg_seq_ok(message, sequence) && mnl_nlmsg_portid_ok(message, port);
        if (ours) accept_message(inbox, message);
    }
}

tl::expected<Inbox, Refusal> exchange(Request& request)
{
    auto socket = open_socket();
    if (!socket) return tl::unexpected(std::move(socket.error()));
    const unsigned port = mnl_socket_get_portid(socket->get());
    if (mnl_socket_sendto(socket->get(), request.message(), request.message()->nlmsg_len) < 0) {
        return tl::unexpected(Refusal{errno, {}});
    }

    Inbox inbox;
    std::vector<char> buffer(64UL * 1024);  // the kernel fills at most 32 KiB at a time
    while (!inbox.complete) {
        const ssize_t length = mnl_socket_recvfrom(socket->get(), buffer.data(), buffer.size());
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) return tl::unexpected(Refusal{errno, {}});
        accept_datagram(inbox, buffer, static_cast<std::size_t>(length), port);
    }
    if (inbox.refusal.error != 0) return tl::unexpected(std::move(inbox.refusal));
    return inbox;
}

}  // namespace

Request::Request(unsigned type, unsigned flags) : message_(mnl_nlmsg_put_header(buffer_.data()))
{
    message_->nlmsg_type = static_cast<std::uint16_t>(type);
    message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    message_->nlmsg_seq = sequence;
}

Message::Message(const nlmsghdr* message)
{
    const auto* first = reinterpret_cast<const char*>(message);
    bytes_.assign(first, first + message->nlmsg_len);
}

Answer send(Request& request)
{
    request.message()->nlmsg_flags |= NLM_F_ACK;
    auto inbox = exchange(request);
    if (!inbox) return tl::unexpected(std::move(inbox.error()));
    return std::move(inbox->messages);
}

Answer dump(Request& request)
{
    request.message()->nlmsg_flags |= NLM_F_DUMP;
    for (int attempt = 0; attempt < dump_attempts; ++attempt) {
        auto inbox = exchange(request);
        if (!inbox) return tl::unexpected(std::move(inbox.error()));
        if (!inbox->interrupted) return std::move(inbox->messages);
    }
    return tl::unexpected(Refusal{EAGAIN, "the list kept changing while it was read"});
}

const nlattr* find_attribute(const nlmsghdr* message, std::size_t header_size, unsigned type)
{
    return find_between(mnl_nlmsg_get_payload_offset(message, header_size), mnl_nlmsg_get_payload_tail(message), type);
}

const nlattr* find_attribute(const nlattr* nest, unsigned type)
{
    if (nest == nullptr) return nullptr;
    const auto* first = static_cast<const char*>(mnl_attr_get_payload(nest));
    return find_between(first, first + mnl_attr_get_payload_len(nest), type);
}

std::string text_of(const nlattr* attribute)
{
    if (attribute == nullptr) return {};
    const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
    return {text, strnlen(text, mnl_attr_get_payload_len(attribute))};
}

tl::unexpected<Error> refused(const Refusal& refusal, std::string_view what)
{
    auto failure = fail_errno(refusal.error, what);
    Error& error = failure.value();
    if (refusal.error == ENODEV) error.kind = ErrorKind::not_found;
    if (!refusal.text.empty()) error.message += fmt::format(" ({})", refusal.text);
    return failure;
}

std::string device_label(int index)
{
    std::array<char, IF_NAMESIZE> name{};
    if (if_indextoname(static_cast<unsigned>(index), name.data()) != nullptr) return name.data();
    return fmt::format("device {}", index);
}

}  // namespace headwind::netlink
