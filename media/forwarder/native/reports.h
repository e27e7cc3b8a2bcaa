/* Reports of receivers and to them (RFC 3550 6.4), read without trusting a byte: the part of media/rtcp.py that comes
 * and goes for every subscriber all the time. What else there is, Python reads.
 */
#ifndef LAMPROOM_REPORTS_H
#define LAMPROOM_REPORTS_H

#include "forwarder.h"

enum { REPORT_BLOCK_BYTES = 24, SENDER_REPORT_BYTES = 28, MAX_REPORT_BYTES = SENDER_REPORT_BYTES + 48 };

/* Take a compound packet of receiver reports, descriptions and transport-wide feedback that is right in every part.
 * Gives 0, and has done nothing, where it is anything else; below 0 how many parts came too often; else 1. */
int take_reports(struct peer *, const uint8_t *packet, size_t size, double now);

/* A sender report and the canonical name, MAX_REPORT_BYTES at most; gives the size. Remembers the report's time. */
size_t write_report(struct route *, uint64_t ntp, uint32_t timestamp, double now, uint8_t *out);

#endif
