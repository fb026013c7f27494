// SPDX-License-Identifier: MIT
// Private to netlink_*.cpp: one rtnetlink request and its answer, in the calling thread's network namespace.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/result.h"

namespace headwind::netlink {

// A refusal by the kernel: an errno value, and its extended-ack text where there is one.
struct Refusal {
    int error = 0;
    std::string text;
};

// A message that is being written. It has room for the few small requests made here; callers bound the strings they put
// in.
class Request {
public:
    Request(unsigned type, unsigned flags);
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    nlmsghdr* message() { return message_; }

    // The family header, zeroed. To be called once, before any attribute is put.
    template <class T>
    T& header()
    {
        return *static_cast<T*>(mnl_nlmsg_put_extra_header(message_, sizeof(T)));
    }

private:
    alignas(nlmsghdr) std::array<char, 2048> buffer_{};
    nlmsghdr* message_;  // into buffer_
};

// A copy of one message of the answer.
class Message {
public:
    explicit Message(const nlmsghdr* message);

    const nlmsghdr* get() const { return reinterpret_cast<const nlmsghdr*>(bytes_.data()); }

    template <class T>
    T header() const
    {
        T header{};
        std::memcpy(&header, mnl_nlmsg_get_payload(get()), std::min(sizeof(T), mnl_nlmsg_get_payload_len(get())));
        return header;
    }

private:
    std::vector<char> bytes_;
};

using Answer = tl::expected<std::vector<Message>, Refusal>;

Answer send(Request& request);  // waits for the kernel's acknowledgement
Answer dump(Request& request);  // asks again while the kernel reports that the list changed meanwhile

// nullptr: there is no such attribute. `header_size`: bytes of the family header before the attributes.
const nlattr* find_attribute(const nlmsghdr* message, std::size_t header_size, unsigned type);
const nlattr* find_attribute(const nlattr* nest, unsigned type);  // nest may be nullptr

// The value of an attribute that may be nullptr, or shorter than T with an older kernel: what is missing is zero.
template <class T>
T value_of(const nlattr* attribute)
{
    T value{};
    if (attribute == nullptr) return value;
    const std::size_t length = mnl_attr_get_payload_len(attribute);
    std::memcpy(&value, mnl_attr_get_payload(attribute), std::min(sizeof(T), length));
    return value;
}

std::string text_of(const nlattr* attribute);

// The Error "create headwind0: File exists" for a refusal. ENODEV becomes ErrorKind::not_found.
tl::unexpected<Error> refused(const Refusal& refusal, std::string_view what);

std::string device_label(int index);  // its name; "device 7" if it is gone

}  // namespace headwind::netlink
