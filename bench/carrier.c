// A neutral carrier, and the customer who is called back: one thread, no store, answers all it is asked.
//
//   carrier [-d DELAY_MS] [-w PREFIX] [-b BODY]     (prints its SMPP port and its HTTP port)
//
// The SMPP port takes any bind_transceiver, answers submit_sm at once or DELAY_MS later, and follows the answer with a
// delivery receipt where one is asked for. The HTTP port takes every callback, answers 200 and BODY, and tells
//
//   GET /count       how many came of each, and when the first and the last did
//   GET /arrivals    the recipients that begin with PREFIX, each with the time of its submit_sm
//
// Times are microseconds of the monotonic clock, which all processes of a machine share.
#include "wire.h"
#include <sys/timerfd.h>

enum { ARRIVALS_MAX = 1000, ACCEPT_MAX = 1024 };
enum { RECEIPT_CLASS = 4 };  // esm_class of a delivery receipt (5.2.12)

// A submit_sm whose answer is due later; the delay is the same for all, so they are due in the order they came in.
struct late {
    struct late *next;
    struct connection *from;
    int64_t due_us;
    uint8_t pdu[];
};

struct arrival {
    char number[ADDRESS_MAX];
    int64_t us;
};

static int64_t delay_us;
static const char *watched = NULL, *body_of_answers = "OK";
static struct late *first_late, *last_late;
static int timer;
static struct arrival arrivals[ARRIVALS_MAX];
static size_t arrivals_count;
static char date[11];  // YYMMDDhhmm, of receipts
static long long submitted, submitted_first_us, submitted_last_us, receipts, receipts_answered, receipt_last_us;
static long long callbacks, callback_last_us;

// SMPP

static void write_date(void) {
    static time_t minute;
    time_t now = time(NULL);
    if (now / 60 == minute) return;
    minute = now / 60;
    strftime(date, sizeof date, "%y%m%d%H%M", gmtime(&now));
}

// Addresses lie in a PDU as two octets, type of number and numbering plan, then a C-octet string.
static void answer_submission(struct connection *one, const struct pdu *request) {
    size_t source = behind_string(request, HEADER_SIZE), recipient = behind_string(request, source + 2);
    size_t rest = behind_string(request, recipient + 2);
    size_t registered = behind_string(request, behind_string(request, rest + 3));
    static long long answered;
    char id[24], text[200];
    int id_size = sprintf(id, "%lld", ++answered) + 1;
    put_response(&one->out, request, id, id_size);
    if (registered >= request->size || !(request->at[registered] & 1)) return;
    int text_size = sprintf(text, "id:%s sub:001 dlvrd:001 submit date:%s done date:%s stat:DELIVRD err:000 text:", id, date, date);
    size_t at = begin_pdu(&one->out, DELIVER_SM, ++one->sequence);
    put_octet(&one->out, 0);                                             // service_type
    put(&one->out, request->at + recipient, rest - recipient);           // from the phone
    put(&one->out, request->at + source, recipient - source);            // to whoever wrote to it
    put(&one->out, (uint8_t[]){RECEIPT_CLASS, 0, 0, 0, 0, 0, 0, 0, 0}, 9);  // esm_class to sm_default_msg_id
    put_octet(&one->out, text_size);
    put(&one->out, text, text_size);
    end_pdu(&one->out, at);
    receipts++;
}

static void note_arrival(const struct pdu *request, int64_t us) {
    size_t recipient = behind_string(request, behind_string(request, HEADER_SIZE) + 2) + 2;
    const char *number = (const char *)request->at + recipient;
    if (recipient >= request->size || arrivals_count == ARRIVALS_MAX || strncmp(number, watched, strlen(watched))) return;
    struct arrival *one = &arrivals[arrivals_count++];
    snprintf(one->number, sizeof one->number, "%.*s", (int)(request->size - recipient), number);
    one->us = us;
}

static void set_timer(void) {
    struct itimerspec times = {0};
    if (first_late) {
        times.it_value = (struct timespec){first_late->due_us / SECOND_US, first_late->due_us % SECOND_US * 1000};
    }
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &times, NULL)) die("no timer");
}

static void put_off(struct connection *one, const struct pdu *request, int64_t due_us) {
    struct late *late = malloc(sizeof *late + request->size);
    if (!late) die("no memory");
    *late = (struct late){NULL, one, due_us};
    memcpy(late->pdu, request->at, request->size);
    if (first_late) {
        last_late = last_late->next = late;
    } else {
        first_late = last_late = late;
        set_timer();
    }
}

static void answer_late(void) {
    for (int64_t now = now_us(); first_late && first_late->due_us <= now;) {
        struct late *late = first_late;
        struct pdu request = pdu_at(late->pdu, number_at(late->pdu));
        if (late->from->socket >= 0) answer_submission(late->from, &request);
        first_late = late->next;
        if (!first_late || first_late->from != late->from || first_late->due_us > now) flush(late->from);
        free(late);
    }
    set_timer();
}

static void hear_submission(struct connection *one, const struct pdu *request) {
    submitted_last_us = now_us();
    if (!submitted++) submitted_first_us = submitted_last_us;
    if (watched) note_arrival(request, submitted_last_us);
    if (delay_us) {
        put_off(one, request, submitted_last_us + delay_us);
    } else {
        answer_submission(one, request);
    }
}

static int hear_smpp(struct connection *one) {
    size_t at = 0;
    write_date();
    for (struct pdu request; (request = pdu_at(one->in.at + at, one->in.size - at)).size; at += request.size) {
        switch (request.command) {
        case SUBMIT_SM: hear_submission(one, &request); break;
        case BIND_TRANSCEIVER: put_response(&one->out, &request, "carrier", sizeof "carrier"); break;
        case ENQUIRE_LINK: case UNBIND: put_response(&one->out, &request, "", 0); break;
        case DELIVER_SM | RESPONSE: receipts_answered++; receipt_last_us = now_us(); break;
        default: return 0;
        }
    }
    take(&one->in, at);
    return 1;
}

// HTTP

// The size of the whole request that the text begins with, or 0 where more of it has to come.
static size_t request_size(const char *text, size_t size) {
    const char *end = memmem(text, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t whole = end + 4 - text;
    const char *length = strcasestr(text, "\r\ncontent-length:");
    if (length && length < end) whole += strtoul(length + 17, NULL, 10);
    return whole <= size ? whole : 0;
}

static void answer_http(struct connection *one, const char *body, size_t size) {
    char head[100];
    put(&one->out, head, sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", size));
    put(&one->out, body, size);
}

static void tell_counts(struct connection *one) {
    char body[500];
    int size = sprintf(body,
        "{\"submitted\": %lld, \"submitted_first_us\": %lld, \"submitted_last_us\": %lld, \"receipts\": %lld, "
        "\"receipts_answered\": %lld, \"receipt_last_us\": %lld, \"callbacks\": %lld, \"callback_last_us\": %lld}",
        submitted, submitted_first_us, submitted_last_us, receipts, receipts_answered, receipt_last_us, callbacks,
        callback_last_us);
    answer_http(one, body, size);
}

static void tell_arrivals(struct connection *one) {
    static char body[ARRIVALS_MAX * 64];
    size_t size = sprintf(body, "{");
    for (size_t at = 0; at < arrivals_count; at++) {
        size += sprintf(body + size, "%s\"%s\": %lld", at ? ", " : "", arrivals[at].number, (long long)arrivals[at].us);
    }
    size += sprintf(body + size, "}");
    answer_http(one, body, size);
}

static int hear_http(struct connection *one) {
    size_t at = 0;
    put_octet(&one->in, 0);  // so that it is a string
    one->in.size--;
    for (size_t size; at < one->in.size && (size = request_size((char *)one->in.at + at, one->in.size - at)); at += size) {
        const char *request = (char *)one->in.at + at;
        if (!strncmp(request, "GET /count ", 11)) {
            tell_counts(one);
        } else if (!strncmp(request, "GET /arrivals ", 14)) {
            tell_arrivals(one);
        } else {
            callbacks++;
            callback_last_us = now_us();
            answer_http(one, body_of_answers, strlen(body_of_answers));
        }
    }
    take(&one->in, at);
    return 1;
}

// Both

static int listen_on_a_free_port(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, ACCEPT_MAX) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) die("no port");
    *port = ntohs(address.sin_port);
    return listener;
}

static struct connection *listeners[2];

// A listener hears connections; what they hear is what the listener is for.
static int accept_smpp(struct connection *listener) {
    for (int socket; (socket = accept4(listener->socket, NULL, NULL, SOCK_NONBLOCK)) >= 0;) new_connection(socket, hear_smpp);
    return 1;
}

static int accept_http(struct connection *listener) {
    for (int socket; (socket = accept4(listener->socket, NULL, NULL, SOCK_NONBLOCK)) >= 0;) new_connection(socket, hear_http);
    return 1;
}

static void serve(struct connection *one, uint32_t what) {
    if (one == listeners[0] || one == listeners[1]) {
        one->hear(one);
    } else if ((what & ~EPOLLOUT) && !read_some(one)) {
        flush(one);
        let_go(one);
        if (one->hear == hear_http) free(one);  // those of SMPP are few, and late answers may point at them
    } else {
        flush(one);
    }
}

int main(int count, char **arguments) {
    for (int option; (option = getopt(count, arguments, "d:w:b:")) != -1;) switch (option) {
        case 'd': delay_us = atoll(optarg) * 1000; break;
        case 'w': watched = optarg; break;
        case 'b': body_of_answers = optarg; break;
        default: return 2;
    }
    int smpp_port, http_port;
    events = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(events, EPOLL_CTL_ADD, timer, &event)) die("no timer");
    listeners[0] = new_connection(listen_on_a_free_port(&smpp_port), accept_smpp);
    listeners[1] = new_connection(listen_on_a_free_port(&http_port), accept_http);
    printf("%d %d\n", smpp_port, http_port);
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[EVENTS_MAX];
        int ready_count = epoll_wait(events, ready, EVENTS_MAX, -1);
        for (int at = 0; at < ready_count; at++) {
            uint64_t ticks;
            if (ready[at].data.ptr) {
                serve(ready[at].data.ptr, ready[at].events);
            } else if (read(timer, &ticks, sizeof ticks) == sizeof ticks) {
                answer_late();
            }
        }
    }
}
