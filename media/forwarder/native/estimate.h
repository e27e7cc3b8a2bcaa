/* What may be sent to one receiver: media/bandwidth.py, media/trendline.py and the reading half of media/transportcc.py
 * in C, where everything is explained. Numbers in and out; a few KiB for each receiver that numbers its packets.
 */
#ifndef LAMPROOM_ESTIMATE_H
#define LAMPROOM_ESTIMATE_H

#include "forwarder.h"

enum { MAX_READ = 2000 };

#endif
