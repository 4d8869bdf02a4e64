/* runtime/evaluate.c: loss and metrics over a part, and predictions.
 *
 * in: a session, data     out: scores in double precision; arrays of outputs
 * Batches have max_batch examples but for the last; each counts with its number of examples. Of
 * training windows that overlap so many are evaluated that each target value is asked for once.
 */
#include "runtime/private.h"

#include <string.h>

/* results[0]: the loss, results[1 + k]: statistic k, each one real. */
static void add_batch(DlrtSession *session, int64_t n) {
    const DlrtModel *model = session->model;
    for (uint32_t i = 0; i <= model->nstats; i++) session->results[i] = &session->evaluated[i];
    DlrtCall call = session_call(session, n);
    model->evaluate(&call);
    for (uint32_t i = 0; i <= model->nstats; i++)
        session->sums[i] += session_real(session, &session->evaluated[i], 0) * (double)n;
}

static void finish(DlrtSession *session, DlrtScores *scores) {
    const DlrtModel *model = session->model;
    const void *stats = session->sums + 1;
    if (!model->finish) return;
    for (uint32_t k = 0; k < model->nmetrics; k++) session->results[k] = &scores->metrics[k];
    DlrtCall call = session_call(session, 1);
    call.inputs = &stats;
    model->finish(&call);
}

bool dlrt_evaluate(DlrtSession *session, const DlrtData *data, DlrtPart part, DlrtScores *scores,
                   DlrtError *error) {
    const DlrtModel *model = session->model;
    int64_t count = dlrt_data_count(data, part);
    *scores = (DlrtScores){0};
    if (!session_fits(session, data, error)) return false;
    if (!model->evaluate)
        return error_set(error, (Place){0}, "model `%s` has neither loss nor metric", model->name);
    if (count == 0) return error_set(error, (Place){0}, "the data has no %s part", part_name(part));
    int64_t every = part == DLRT_TRAIN ? data->overlap : 1;
    count = (count + every - 1) / every;
    memset(session->sums, 0, ((size_t)model->nstats + 1) * sizeof *session->sums);
    for (int64_t first = 0; first < count; first += model->max_batch) {
        int64_t n = count - first < model->max_batch ? count - first : model->max_batch;
        batch_gather(session, data, part, NULL, first, n, every);
        add_batch(session, n);
    }
    for (uint32_t i = 0; i <= model->nstats; i++) session->sums[i] /= (double)count;
    scores->present = true;
    scores->count = count;
    scores->loss = session->sums[0];
    finish(session, scores);
    return true;
}

bool dlrt_predict(DlrtSession *session, const DlrtData *data, DlrtPart part, int64_t first,
                  int64_t n, void *const *outputs, DlrtError *error) {
    const DlrtModel *model = session->model;
    int64_t count = dlrt_data_count(data, part);
    if (!session_fits(session, data, error)) return false;
    if (!model->forward)
        return error_set(error, (Place){0}, "model `%s` has no output", model->name);
    if (first < 0 || n < 0 || first > count || n > count - first)
        return error_set(error, (Place){0},
                         "%lld examples from number %lld on were asked for: the %s part has %lld",
                         (long long)n, (long long)((uint64_t)first + 1), part_name(part),
                         (long long)count);
    for (int64_t done = 0; done < n; done += model->max_batch) {
        int64_t batch = n - done < model->max_batch ? n - done : model->max_batch;
        for (uint32_t i = 0; i < model->noutputs; i++) {
            const DlrtPort *port = &model->outputs[i];
            int64_t bytes = port->elements * (port->classes ? 4 : model->real_bytes);
            session->results[i] = (char *)outputs[i] + (port->batched ? done * bytes : 0);
        }
        batch_gather(session, data, part, NULL, first + done, batch, 1);
        DlrtCall call = session_call(session, batch);
        model->forward(&call);
    }
    return true;
}
