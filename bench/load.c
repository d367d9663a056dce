// Asks an HTTP server the same thing over and over on kept-alive connections, and tells how the server fared.
//
//   load [-c CONNECTIONS] [-s SECONDS] [-n REQUESTS] [-r REQUESTS_PER_SECOND] [-a ANSWER] PORT < REQUEST
//
// Every run of '#' in the request becomes the number of the request, so all of them differ and are equally long.
// Without -r the loop is closed: a connection asks again once it has its answer. With -r it is open: request k is due
// k periods after the start, waits if no connection is free, and its latency counts from when it was due. So a server
// that stalls cannot hide how long it kept people waiting. An answer is good if its status is 2xx and its body ANSWER, or
// begins with it where ANSWER ends in an asterisk (of a body in chunks, only the first can be compared so).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, REQUEST_MAX = 1 << 20, ANSWER_MAX = 1 << 14, EVENTS_MAX = 64, TICK_MS = 100 };
static const int64_t SECOND_NS = 1000000000, PATIENCE_NS = 30 * SECOND_NS;

struct connection {
    int socket;
    int64_t due_ns;
    char *request;
    size_t written;
    char answer[ANSWER_MAX];
    size_t read;
};

// What to do
static int64_t connections_count = 64, seconds = 10, requests_max = INT64_MAX, per_second = 0;
static const char *wanted = "";
static char template[REQUEST_MAX];
static size_t template_size;

// How it goes
static struct connection *idle[CONNECTIONS_MAX];
static int idle_count, events;
static int64_t asked, answered, good, due, start_ns, last_ns;
static uint32_t *latencies_us;

static void die(const char *what) {
    fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void write_number(char *request, int64_t number) {
    int64_t rest = number;
    for (size_t at = template_size; at-- > 0;) {
        if (template[at] == '#') {
            request[at] = '0' + rest % 10;
            rest /= 10;
        } else {
            rest = number;
        }
    }
}

static void write_request(struct connection *one) {
    while (one->written < template_size) {
        ssize_t size = send(one->socket, one->request + one->written, template_size - one->written, MSG_NOSIGNAL);
        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) die("cannot send");
        one->written += size;
    }
}

// Ask what is due on whatever connection is free.
static void ask(void) {
    while (idle_count && asked < due) {
        struct connection *one = idle[--idle_count];
        one->due_ns = per_second ? start_ns + (asked + 1) * SECOND_NS / per_second : now_ns();
        one->written = 0;
        write_number(one->request, asked++);
        write_request(one);
    }
}

// The body of a whole answer, or NULL where more of it has to come.
static const char *whole_body(struct connection *one) {
    one->answer[one->read] = 0;
    char *end = strstr(one->answer, "\r\n\r\n");
    if (!end) return NULL;
    char *body = end + 4, *length = strcasestr(one->answer, "\r\ncontent-length:");
    if (!length || length > end) {
        if (!strcasestr(one->answer, "\r\ntransfer-encoding: chunked\r\n")) die("an answer without Content-Length");
        char *first = strstr(body, "\r\n");  // behind the size of the first chunk
        return strstr(body, "\r\n0\r\n\r\n") ? first + 2 : NULL;
    }
    size_t body_size = strtoul(length + 17, NULL, 10);
    return one->answer + one->read >= body + body_size ? body : NULL;
}

static int is_good(const char *answer, const char *body) {
    size_t size = strlen(wanted);
    if (strncmp(answer, "HTTP/1.1 2", 10)) return 0;
    return size && wanted[size - 1] == '*' ? !strncmp(body, wanted, size - 1) : !strcmp(body, wanted);
}

static void read_answer(struct connection *one) {
    ssize_t size;
    while ((size = recv(one->socket, one->answer + one->read, ANSWER_MAX - 1 - one->read, 0)) > 0) one->read += size;
    if (size == 0 || errno != EAGAIN) die("the server closed a connection");
    const char *body = one->read ? whole_body(one) : NULL;
    if (!body) return;
    last_ns = now_ns();
    good += is_good(one->answer, body);
    one->read = 0;
    latencies_us[answered++] = (last_ns - one->due_ns) / 1000;
    if (answered % 65536 == 0) latencies_us = realloc(latencies_us, (answered + 65536) * sizeof *latencies_us);
    idle[idle_count++] = one;
}

static void connect_one(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct connection *one = calloc(1, sizeof *one);
    one->request = memcpy(malloc(template_size), template, template_size);
    one->written = template_size;
    one->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(one->socket, (struct sockaddr *)&address, sizeof address)) die("cannot connect");
    setsockopt(one->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(one->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = one};
    if (epoll_ctl(events, EPOLL_CTL_ADD, one->socket, &event)) die("cannot watch a socket");
    idle[idle_count++] = one;
}

// A clock that ticks once per request that comes due.
static int start_timer(void) {
    struct timespec period = {.tv_sec = per_second == 1, .tv_nsec = SECOND_NS / per_second % SECOND_NS};
    struct itimerspec times = {.it_interval = period, .it_value = period};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (timerfd_settime(timer, 0, &times, NULL) || epoll_ctl(events, EPOLL_CTL_ADD, timer, &event)) die("no timer");
    return timer;
}

static void run(void) {
    int timer = per_second ? start_timer() : -1;
    start_ns = now_ns();
    int64_t end_ns = start_ns + seconds * SECOND_NS;
    if (per_second && requests_max > per_second * seconds) requests_max = per_second * seconds;
    due = per_second ? 0 : requests_max;
    while (answered < due || (per_second && due < requests_max)) {
        if (!per_second && now_ns() > end_ns) due = asked;
        if (now_ns() > end_ns + PATIENCE_NS) die("no answer for too long");
        ask();
        struct epoll_event ready[EVENTS_MAX];
        int count = epoll_wait(events, ready, EVENTS_MAX, TICK_MS);
        for (int at = 0; at < count; at++) {
            struct connection *one = ready[at].data.ptr;
            uint64_t ticks;
            if (one) {
                write_request(one);
                read_answer(one);
            } else if (read(timer, &ticks, sizeof ticks) == sizeof ticks) {
                due = due + (int64_t)ticks < requests_max ? due + (int64_t)ticks : requests_max;
            }
        }
    }
}

static int by_size(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double latency_ms(double share) { return answered ? latencies_us[(size_t)((answered - 1) * share)] / 1e3 : 0; }

int main(int count, char **arguments) {
    for (int option; (option = getopt(count, arguments, "c:s:n:r:a:")) != -1;) switch (option) {
        case 'c': connections_count = atoll(optarg); break;
        case 's': seconds = atoll(optarg); break;
        case 'n': requests_max = atoll(optarg); break;
        case 'r': per_second = atoll(optarg); break;
        case 'a': wanted = optarg; break;
        default: return 2;
    }
    if (optind != count - 1 || connections_count < 1 || connections_count > CONNECTIONS_MAX) die("wrong use");
    template_size = fread(template, 1, REQUEST_MAX, stdin);
    latencies_us = malloc(65536 * sizeof *latencies_us);
    events = epoll_create1(0);
    while (idle_count < connections_count) connect_one(atoi(arguments[optind]));
    run();
    qsort(latencies_us, answered, sizeof *latencies_us, by_size);
    printf("{\"answered\": %lld, \"good\": %lld, \"seconds\": %.6f, \"start_us\": %lld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"max_ms\": %.3f}\n", (long long)answered, (long long)good, (last_ns - start_ns) / 1e9,
           (long long)start_ns / 1000, latency_ms(0.5), latency_ms(0.99), latency_ms(1));
}
