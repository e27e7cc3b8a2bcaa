/* What protecting one packet costs: libsrtp in place against the EVP functions of libcrypto with one context for each
 * receiver of which only the IV is set anew. CPU seconds of this thread for `rounds` packets to each of `contexts`. */
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef int (*protect_function)(void *context, void *packet, int *size);
struct evp {
    int (*init)(void *context, const void *cipher, void *engine, const uint8_t *key, const uint8_t *iv);
    int (*update)(void *context, uint8_t *out, int *size, const uint8_t *in, int in_size);
    int (*final)(void *context, uint8_t *out, int *size);
    int (*control)(void *context, int type, int argument, void *pointer);
};
enum { GET_TAG = 0x10, TAG = 16, HEADER = 12 };

static double spent(struct timespec before)
{
    struct timespec after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    return (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
}

static void write_header(uint8_t *at, int number)
{
    memset(at, 0, HEADER);
    at[0] = 0x80, at[1] = 96, at[2] = (uint8_t)(number >> 8), at[3] = (uint8_t)number, at[11] = 1;
}

double by_libsrtp(uintptr_t protect, const uintptr_t *contexts, int count, int rounds, int size)
{
    static uint8_t packet[2048];
    struct timespec before;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (int round = 1; round <= rounds; round++)
        for (int each = 0; each < count; each++) {
            int protected = size;
            write_header(packet, round);
            if (((protect_function)protect)((void *)contexts[each], packet, &protected))
                return -1;
        }
    return spent(before);
}

double by_evp(const uintptr_t functions[4], const uintptr_t *contexts, int count, int rounds, int size)
{
    static uint8_t packet[2048];
    struct evp evp = {(void *)functions[0], (void *)functions[1], (void *)functions[2], (void *)functions[3]};
    struct timespec before;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (int round = 1; round <= rounds; round++)
        for (int each = 0; each < count; each++) {
            uint8_t iv[12] = {0};
            int done = 0;
            void *context = (void *)contexts[each];
            write_header(packet, round);
            memcpy(iv + 8, &round, sizeof round);
            if (!evp.init(context, NULL, NULL, NULL, iv) || !evp.update(context, NULL, &done, packet, HEADER) ||
                !evp.update(context, packet + HEADER, &done, packet + HEADER, size - HEADER) ||
                !evp.final(context, packet + size, &done) || !evp.control(context, GET_TAG, TAG, packet + size))
                return -1;
        }
    return spent(before);
}
