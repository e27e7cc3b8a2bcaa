/* The floor of forwarding: for each subscriber, protect a burst of packets in place and send it in one piece by UDP
 * GSO. No receiving, no rewriting, no tables. */
#include <stdint.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

typedef int (*protect_function)(void *context, void *packet, int *size);

/* Gives the CPU seconds of this thread for one round, or -1. */
double floor_round(int descriptor, uintptr_t protect, const uintptr_t *contexts, const uint8_t *names, int subscribers,
                   int burst, int size, int sequence)
{
    static uint8_t arena[65536], payload[2048];
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (int each = 0; each < subscribers; each++) {
        uint8_t *at = arena;
        int protected = 0;
        for (int packet = 0; packet < burst; packet++) {
            int number = sequence + packet;
            memcpy(at, payload, (size_t)size);
            at[0] = 0x80, at[1] = 96, at[2] = (uint8_t)(number >> 8), at[3] = (uint8_t)number, at[11] = 1;
            protected = size;
            if (((protect_function)protect)((void *)contexts[each], at, &protected))
                return -1;
            at += protected;
        }
        struct iovec vector = {arena, (size_t)(at - arena)};
        union {
            struct cmsghdr header;
            uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
        } control = {.header = {CMSG_LEN(sizeof(uint16_t)), 17, 103}};
        uint16_t cut = (uint16_t)protected;
        memcpy(CMSG_DATA(&control.header), &cut, sizeof cut);
        struct msghdr message = {(void *)(names + 16 * each), 16, &vector, 1, control.bytes, sizeof control.bytes, 0};
        if (sendmsg(descriptor, &message, MSG_DONTWAIT) < 0)
            return -1;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    return (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
}
