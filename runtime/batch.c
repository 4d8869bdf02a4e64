/* runtime/batch.c: examples gathered into a batch.
 *
 * in: data and which examples     out: the session's batch arrays, example after example
 */
#include "runtime/private.h"

#include <string.h>

void batch_gather(DlrtSession *session, const DlrtData *data, DlrtPart part, const int64_t *order,
                  int64_t first, int64_t n) {
    for (uint32_t p = 0; p < data->nports; p++) {
        const PortData *port = &data->ports[p];
        unsigned char *to = session->batch[p];
        for (int64_t i = 0; i < n; i++, to += port->example_bytes) {
            int64_t example = order ? order[first + i] : first + i;
            int64_t row = data->rows[part][example];
            memcpy(to, port->values + (size_t)row * port->example_bytes, port->example_bytes);
        }
    }
}
