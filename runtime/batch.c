/* runtime/batch.c: examples gathered into a batch.
 *
 * in: data and which examples     out: the session's batch arrays, example after example
 */
#include "runtime/private.h"

void batch_gather(DlrtSession *session, const DlrtData *data, DlrtPart part, const int64_t *order,
                  int64_t first, int64_t n, int64_t every) {
    for (uint32_t p = 0; p < data->nports; p++) {
        unsigned char *to = session->batch[p];
        for (int64_t i = 0; i < n; i++, to += data->ports[p].example_bytes) {
            int64_t example = order ? order[first + i] : (first + i) * every;
            store_fetch(data, p, data->rows[part][example], to);
        }
    }
}
