// An application that speaks SMPP: submits messages over a few binds as fast as their windows allow, takes the receipts,
// and tells how the message centre fared.
//
//   esme [-b BINDS] [-w WINDOW] [-s SECONDS] [-n MESSAGES] [-r MESSAGES_PER_SECOND] [-t RECIPIENT] [-q] ID PASSWORD PORT
//
// The first run of '#' in RECIPIENT becomes the number of the message; so no two have a recipient in common, and a
// receipt tells its message. Every message asks for a receipt, but with -q. Without -r the loop is closed: the next
// message leaves once the window has room. With -r it is open: message k is due k periods after the start, and its
// latency, until the answer, counts from when it was due. Ends when every message has its answer and its receipt, or when
// nothing has come for a while.
#include "wire.h"
#include <fcntl.h>

enum { BINDS_MAX = 64, OPEN_MAX = 10000, MESSAGES_MAX = 10000000, TICK_MS = 5 };
static const int64_t SILENCE_US = 20 * SECOND_US;
static const char TEXT[] = "Your code is 123456. It is valid for ten minutes.";
static const char ORIGINATOR[] = "TELEGRAPH";
enum { ALPHANUMERIC = 5, INTERNATIONAL = 1, ISDN = 1, RECEIPT_BITS = 0x3c, RECEIPT_CLASS = 4 };  // 5.2.5, 5.2.6, 5.2.12

// What to do
static int64_t binds_count = 4, window = 200, seconds = 10, messages_max = MESSAGES_MAX, per_second = 0;
static int asks_for_receipts = 1;
static char recipient[ADDRESS_MAX] = "44########0000";
static int digits_at, digits_count;

// How it goes. The sequence number of a message is its number and one, on whatever bind it leaves.
static struct connection *binds[BINDS_MAX];
static int bound_count;
static int64_t start_us, heard_us, last_answer_us, last_receipt_us;
static int64_t sent, answered, accepted, delivered, receipts_twice, receipts_strange;
static int64_t *due_us;         // of each message, when it should have left
static uint32_t *latencies_us;  // in the order of the answers
static char *is_delivered;      // of each message

static void write_number(int64_t number) {
    for (int at = digits_at + digits_count; at-- > digits_at; number /= 10) recipient[at] = '0' + number % 10;
}

// The number of the message that went to this recipient, or -1.
static int64_t number_of(const char *address) {
    if (strlen(address) != strlen(recipient) || strncmp(address, recipient, digits_at)) return -1;
    int64_t number = 0;
    for (int at = digits_at; at < digits_at + digits_count; at++) number = number * 10 + (address[at] - '0');
    return number >= 0 && number < sent ? number : -1;
}

static void put_string(struct bytes *some, const char *text) { put(some, text, strlen(text) + 1); }

static void put_submission(struct bytes *some, int64_t number) {
    write_number(number);
    size_t at = begin_pdu(some, SUBMIT_SM, number + 1);
    put_string(some, "");  // service_type
    put(some, (uint8_t[]){ALPHANUMERIC, 0}, 2);
    put_string(some, ORIGINATOR);
    put(some, (uint8_t[]){INTERNATIONAL, ISDN}, 2);
    put_string(some, recipient);
    put(some, (uint8_t[]){0, 0, 0, 0, 0, asks_for_receipts, 0, 0, 0, sizeof TEXT - 1}, 10);  // esm_class to sm_length
    put(some, TEXT, sizeof TEXT - 1);
    end_pdu(some, at);
}

static void put_bind(struct bytes *some, const char *system_id, const char *password) {
    size_t at = begin_pdu(some, BIND_TRANSCEIVER, MESSAGES_MAX + 1);
    put_string(some, system_id);
    put_string(some, password);
    put_string(some, "");  // system_type
    put(some, (uint8_t[]){0x34, 0, 0}, 3);  // interface_version, and any address
    put_string(some, "");
    end_pdu(some, at);
}

static void hear_answer(struct connection *one, const struct pdu *response) {
    int64_t number = (int64_t)response->sequence - 1;
    if (number < 0 || number >= sent) die("an answer to nothing");
    one->open_count--;
    last_answer_us = now_us();
    latencies_us[answered++] = last_answer_us - due_us[number];
    accepted += response->status == 0;
}

// "stat:DELIVRD" somewhere in it, and its source is the recipient of a message that we sent.
static void hear_receipt(const struct pdu *request) {
    size_t source = behind_string(request, HEADER_SIZE) + 2;
    size_t esm_class = behind_string(request, behind_string(request, source) + 2);
    int is_receipt = esm_class < request->size && (request->at[esm_class] & RECEIPT_BITS) == RECEIPT_CLASS;
    int64_t number = is_receipt ? number_of((const char *)request->at + source) : -1;
    last_receipt_us = now_us();
    if (number < 0 || !memmem(request->at, request->size, "stat:DELIVRD", 12)) {
        receipts_strange++;
    } else if (is_delivered[number]++) {
        receipts_twice++;
    } else {
        delivered++;
    }
}

static int hear(struct connection *one) {
    size_t at = 0;
    heard_us = now_us();
    for (struct pdu pdu; (pdu = pdu_at(one->in.at + at, one->in.size - at)).size; at += pdu.size) {
        switch (pdu.command) {
        case SUBMIT_SM | RESPONSE: hear_answer(one, &pdu); break;
        case DELIVER_SM: hear_receipt(&pdu); put_response(&one->out, &pdu, "", 1); break;
        case ENQUIRE_LINK: put_response(&one->out, &pdu, "", 0); break;
        case BIND_TRANSCEIVER | RESPONSE:
            if (pdu.status) die("the bind was refused");
            bound_count++;
            break;
        default: die("a PDU that we do not await");
        }
    }
    take(&one->in, at);
    return 1;
}

static void bind_one(int port, const char *system_id, const char *password) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(one, (struct sockaddr *)&address, sizeof address)) die("cannot connect");
    fcntl(one, F_SETFL, O_NONBLOCK);
    struct connection *bind = binds[binds_count++] = new_connection(one, hear);
    put_bind(&bind->out, system_id, password);
    flush(bind);
}

// How many messages may have left by now.
static int64_t due_count(void) {
    int64_t elapsed_us = now_us() - start_us, limit = messages_max;
    if (per_second) {
        int64_t due = elapsed_us * per_second / SECOND_US, last = seconds * per_second;
        due = due < last ? due : last;
        return due < limit ? due : limit;
    }
    return elapsed_us < seconds * SECOND_US ? limit : sent;
}

// Fill the windows, in turn, so that each bind has its share.
static void submit(void) {
    int64_t due = due_count();
    for (int full_count = 0; full_count < binds_count && sent < due;) {
        static int turn;
        struct connection *one = binds[turn++ % binds_count];
        if (one->open_count >= window) {
            full_count++;
            continue;
        }
        full_count = 0;
        due_us[sent] = per_second ? start_us + (sent + 1) * SECOND_US / per_second : now_us();
        one->open_count++;
        put_submission(&one->out, sent++);
    }
    for (int at = 0; at < binds_count; at++) {
        if (binds[at]->out.size && binds[at]->is_out_watched <= 0) flush(binds[at]);
    }
}

static int is_finished(void) {
    int64_t elapsed_us = now_us() - start_us;
    int is_sent = sent >= messages_max || elapsed_us >= seconds * SECOND_US;
    return is_sent && answered == sent && (!asks_for_receipts || delivered >= accepted);
}

static void run(int (*is_enough)(void)) {
    heard_us = now_us();
    while (!is_enough() && now_us() < heard_us + SILENCE_US) {
        struct epoll_event ready[EVENTS_MAX];
        int count = epoll_wait(events, ready, EVENTS_MAX, per_second ? 1 : TICK_MS);
        for (int at = 0; at < count; at++) {
            struct connection *one = ready[at].data.ptr;
            if ((ready[at].events & ~EPOLLOUT) && !read_some(one)) die("the message centre closed a connection");
            if (ready[at].events & EPOLLOUT) flush(one);
        }
        if (start_us) submit();
        for (int at = 0; at < count; at++) flush(ready[at].data.ptr);
    }
}

static int is_bound(void) { return bound_count == binds_count; }

static int by_size(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static double latency_ms(double share) { return answered ? latencies_us[(size_t)((answered - 1) * share)] / 1e3 : 0; }

int main(int count, char **arguments) {
    int64_t wanted = binds_count;
    for (int option; (option = getopt(count, arguments, "b:w:s:n:r:t:q")) != -1;) switch (option) {
        case 'b': wanted = atoll(optarg); break;
        case 'w': window = atoll(optarg); break;
        case 's': seconds = atoll(optarg); break;
        case 'n': messages_max = atoll(optarg); break;
        case 'r': per_second = atoll(optarg); break;
        case 't': snprintf(recipient, sizeof recipient, "%s", optarg); break;
        case 'q': asks_for_receipts = 0; break;
        default: return 2;
    }
    digits_at = strcspn(recipient, "#");
    digits_count = strspn(recipient + digits_at, "#");
    if (optind != count - 3 || wanted < 1 || wanted > BINDS_MAX || window < 1 || window > OPEN_MAX || messages_max < 1 ||
        messages_max > MESSAGES_MAX || !digits_count) die("wrong use");
    due_us = malloc(messages_max * sizeof *due_us);
    latencies_us = malloc(messages_max * sizeof *latencies_us);
    is_delivered = calloc(messages_max, 1);
    if (!due_us || !latencies_us || !is_delivered) die("no memory");
    events = epoll_create1(0);
    for (binds_count = 0; binds_count < wanted;) bind_one(atoi(arguments[optind + 2]), arguments[optind], arguments[optind + 1]);
    run(is_bound);
    if (!is_bound()) die("no answer to a bind");
    start_us = now_us();
    run(is_finished);
    qsort(latencies_us, answered, sizeof *latencies_us, by_size);
    printf("{\"answered\": %lld, \"good\": %lld, \"delivered\": %lld, \"receipts_twice\": %lld, \"receipts_strange\": %lld, "
           "\"seconds\": %.6f, \"start_us\": %lld, \"last_receipt_us\": %lld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"max_ms\": %.3f}\n", (long long)answered, (long long)accepted, (long long)delivered, (long long)receipts_twice,
           (long long)receipts_strange, (last_answer_us - start_us) / 1e6, (long long)start_us, (long long)last_receipt_us,
           latency_ms(0.5), latency_ms(0.99), latency_ms(1));
}
