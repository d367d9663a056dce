// What carrier.c and esme.c share: connections that never wait, and the fields of an SMPP PDU (SMPP 3.4, clause 3.2).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER_SIZE = 16, PDU_MAX = 1 << 12, READ_MAX = 1 << 16, EVENTS_MAX = 256, ADDRESS_MAX = 21 };
enum { BIND_TRANSCEIVER = 9, SUBMIT_SM = 4, DELIVER_SM = 5, UNBIND = 6, ENQUIRE_LINK = 0x15 };  // 5.1.2.1
static const uint32_t RESPONSE = 0x80000000;
static const int64_t SECOND_US = 1000000;

struct bytes {
    uint8_t *at;
    size_t size, room;
};

struct connection {
    int socket;  // -1 once it is closed
    int (*hear)(struct connection *);  // takes whole requests off `in`; returns whether the connection goes on
    struct bytes in, out;
    int is_out_watched;
    uint32_t sequence;  // of the last request that we sent
    int open_count;     // our requests without an answer
};

// A PDU as it lies in the buffer; whoever made the buffer has made sure that it is whole.
struct pdu {
    const uint8_t *at;
    uint32_t size, command, status, sequence;
};

static int events;

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static inline int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_US + now.tv_nsec / 1000;
}

static inline void make_room(struct bytes *some, size_t size) {
    if (some->size + size <= some->room) return;
    some->room = (some->size + size) * 2;
    some->at = realloc(some->at, some->room);
    if (!some->at) die("no memory");
}

static inline void put(struct bytes *some, const void *what, size_t size) {
    make_room(some, size);
    memcpy(some->at + some->size, what, size);
    some->size += size;
}

static inline void take(struct bytes *some, size_t size) {
    some->size -= size;
    memmove(some->at, some->at + size, some->size);
}

static inline void put_octet(struct bytes *some, uint8_t value) { put(some, &value, 1); }

static inline void put_number(struct bytes *some, uint32_t value) {
    value = htonl(value);
    put(some, &value, sizeof value);
}

static inline uint32_t number_at(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return ntohl(value);
}

// Begin a PDU and return where; `end_pdu` writes its size there.
static inline size_t begin_pdu(struct bytes *some, uint32_t command, uint32_t sequence) {
    size_t at = some->size;
    put_number(some, 0);
    put_number(some, command);
    put_number(some, 0);
    put_number(some, sequence);
    return at;
}

static inline void end_pdu(struct bytes *some, size_t at) {
    uint32_t size = htonl(some->size - at);
    memcpy(some->at + at, &size, sizeof size);
}

static inline void put_response(struct bytes *some, const struct pdu *request, const char *body, size_t size) {
    size_t at = begin_pdu(some, request->command | RESPONSE, request->sequence);
    put(some, body, size);
    end_pdu(some, at);
}

// The whole PDU at `at`; its size is 0 where more of it has to come.
static inline struct pdu pdu_at(const uint8_t *at, size_t size) {
    if (size < HEADER_SIZE) return (struct pdu){0};
    struct pdu one = {at, number_at(at), number_at(at + 4), number_at(at + 8), number_at(at + 12)};
    if (one.size < HEADER_SIZE || one.size > PDU_MAX) die("a PDU of a strange size");
    return one.size <= size ? one : (struct pdu){0};
}

// Behind the C-octet string at `at`, or the end of the PDU.
static inline size_t behind_string(const struct pdu *one, size_t at) {
    const uint8_t *end = at < one->size ? memchr(one->at + at, 0, one->size - at) : NULL;
    return end ? (size_t)(end - one->at) + 1 : one->size;
}

static inline void watch(struct connection *one, int is_out_watched) {
    struct epoll_event event = {.events = EPOLLIN | (is_out_watched ? EPOLLOUT : 0), .data.ptr = one};
    if (epoll_ctl(events, one->is_out_watched < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, one->socket, &event)) die("epoll");
    one->is_out_watched = is_out_watched;
}

static inline struct connection *new_connection(int socket, int (*hear)(struct connection *)) {
    struct connection *one = calloc(1, sizeof *one);
    *one = (struct connection){.socket = socket, .hear = hear, .is_out_watched = -1};
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    watch(one, 0);
    return one;
}

// Send what there is, and look out for room where the socket has none.
static inline void flush(struct connection *one) {
    size_t sent = 0;
    while (one->socket >= 0 && sent < one->out.size) {
        ssize_t size = send(one->socket, one->out.at + sent, one->out.size - sent, MSG_NOSIGNAL);
        if (size <= 0) break;
        sent += size;
    }
    take(&one->out, sent);
    if (one->socket >= 0 && one->is_out_watched != (one->out.size > 0)) watch(one, one->out.size > 0);
}

// Read once and hear it; whether the connection goes on.
static inline int read_some(struct connection *one) {
    make_room(&one->in, READ_MAX);
    ssize_t size = recv(one->socket, one->in.at + one->in.size, READ_MAX, 0);
    if (size <= 0) return size < 0 && errno == EAGAIN;
    one->in.size += size;
    return one->hear(one);
}

static inline void let_go(struct connection *one) {
    close(one->socket);
    free(one->in.at);
    free(one->out.at);
    one->socket = -1;
    one->in = one->out = (struct bytes){0};
}
