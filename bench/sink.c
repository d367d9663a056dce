// A customer who takes every callback: answers 200 to any request, and tells at GET /count how many there were.
//
//   sink        (prints the port that it listens on)
//
// {"count": 7, "last_us": 123456789}: how many callbacks came, and when the last one did (microseconds of the monotonic
// clock, which all processes of a machine share).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 1 << 14, EVENTS_MAX = 64 };

struct connection {
    int socket;
    char request[REQUEST_MAX];
    size_t read;
};

static long long callbacks_count, last_us;

static long long now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

// The size of the whole request that the buffer begins with, or 0 where more of it has to come.
static size_t request_size(struct connection *one) {
    one->request[one->read] = 0;
    char *end = strstr(one->request, "\r\n\r\n");
    if (!end) return 0;
    char *length = strcasestr(one->request, "\r\ncontent-length:");
    size_t size = end + 4 - one->request;
    if (length && length < end) size += strtoul(length + 17, NULL, 10);
    return size <= one->read ? size : 0;
}

// Whether the answer fitted into the socket; it is so small that only a client which never reads prevents that.
static int answer(struct connection *one) {
    char body[80] = "OK", text[200];
    if (!strncmp(one->request, "GET /count ", 11)) {
        sprintf(body, "{\"count\": %lld, \"last_us\": %lld}", callbacks_count, last_us);
    } else {
        callbacks_count++;
        last_us = now_us();
    }
    int size = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    return send(one->socket, text, size, MSG_NOSIGNAL) == size;
}

// Whether the connection goes on.
static int serve(struct connection *one) {
    ssize_t size = recv(one->socket, one->request + one->read, REQUEST_MAX - 1 - one->read, 0);
    if (size <= 0) return size < 0 && errno == EAGAIN;
    one->read += size;
    while ((size = request_size(one)) > 0) {
        if (!answer(one)) return 0;
        one->read -= size;
        memmove(one->request, one->request + size, one->read);
    }
    return one->read < REQUEST_MAX - 1;
}

static void accept_one(int events, int listener) {
    struct connection *one = calloc(1, sizeof *one);
    one->socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    if (one->socket < 0 || epoll_ctl(events, EPOLL_CTL_ADD, one->socket, &event)) free(one);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_size = sizeof address;
    int events = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (bind(listener, (struct sockaddr *)&address, address_size) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&address, &address_size) ||
        epoll_ctl(events, EPOLL_CTL_ADD, listener, &event)) {
        perror("sink");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[EVENTS_MAX];
        int count = epoll_wait(events, ready, EVENTS_MAX, -1);
        for (int at = 0; at < count; at++) {
            struct connection *one = ready[at].data.ptr;
            if (!one) {
                accept_one(events, listener);
            } else if (!serve(one)) {
                close(one->socket);
                free(one);
            }
        }
    }
}
