/* runtime/train.c: the training loop.
 *
 * in: a session, data, how long     out: trained weights in the session, scores of all parts
 * invariant: what a step sees is a function of seed, epoch and step alone, so that training that
 * was saved and resumed after an epoch gives the bits of training that was not.
 */
#include "runtime/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The weights of the report with the smallest validation loss. */
typedef struct Best {
    void *params, *state;
    double loss;
    int64_t epochs, steps, reports_since;
    uint64_t step;
} Best;

typedef struct Train {
    DlrtSession *session;
    const DlrtData *data;
    const DlrtTraining *training;
    DlrtTrained *trained;
    int64_t *order, count;
    int64_t batches;     /* of an epoch */
    int64_t first, last; /* steps before this training and after it */
    int64_t interval;    /* steps from report to report */
    Best best;
    DlrtError *error;
} Train;

double dlrt_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One step on the n examples in the batch; its loss. */
static double take_step(Train *t, int64_t n) {
    DlrtSession *session = t->session;
    session->step++;
    session->results[0] = &session->evaluated[0];
    DlrtCall call = session_call(session, n);
    session->model->step(&call);
    return session_real(session, &session->evaluated[0], 0);
}

static bool fail_loss(const Train *t, int64_t epoch, int64_t batch, double loss) {
    return error_set(t->error, (Place){0},
                     "the loss became %s in epoch %lld, step %lld of the epoch: try a smaller "
                     "learning rate, and scale or standardize inputs and targets that are large",
                     isnan(loss) ? "not a number"
                     : loss < 0  ? "minus infinity"
                                 : "infinite",
                     (long long)epoch, (long long)batch);
}

static bool evaluate_part(Train *t, DlrtPart part, DlrtScores *scores) {
    *scores = (DlrtScores){0};
    if (!t->session->model->evaluate || dlrt_data_count(t->data, part) == 0) return true;
    return dlrt_evaluate(t->session, t->data, part, scores, t->error);
}

/* The step at `position`, counted from 0 over all epochs; its batch is gathered first. */
static bool run_step(Train *t, int64_t position, double *loss, int64_t *n) {
    const DlrtTraining *training = t->training;
    int64_t epoch = position / t->batches + 1, batch = position % t->batches;
    int64_t first = batch * training->batch, left = t->count - first;
    if (batch == 0 || position == t->first)
        dlrt_shuffle(t->order, t->count, training->seed, (uint64_t)epoch);
    *n = left < training->batch ? left : training->batch;
    batch_gather(t->session, t->data, DLRT_TRAIN, t->order, first, *n, 1);
    *loss = take_step(t, *n);
    return isfinite(*loss) || fail_loss(t, epoch, batch + 1, *loss);
}

static size_t params_bytes(const DlrtModel *model) {
    return (size_t)model->params_elements * model->real_bytes;
}

static size_t state_bytes(const DlrtModel *model) {
    return (size_t)model->state_elements * model->real_bytes;
}

/* Keeps these weights when they are the best so far; ends training when none were for long. */
static void judge(Train *t, double loss) {
    DlrtSession *session = t->session;
    const DlrtModel *model = session->model;
    Best *best = &t->best;
    if (!t->training->patience) return;
    if (isfinite(loss) && (!best->steps || loss < best->loss)) {
        memcpy(best->params, session->params, params_bytes(model));
        memcpy(best->state, session->state, state_bytes(model));
        best->loss = loss;
        best->epochs = t->trained->epochs;
        best->steps = t->trained->steps;
        best->step = session->step;
        best->reports_since = 0;
    } else if (++best->reports_since >= t->training->patience) {
        t->trained->impatient = true;
    }
}

static void restore_best(Train *t) {
    const DlrtModel *model = t->session->model;
    if (!t->best.steps) return;
    memcpy(t->session->params, t->best.params, params_bytes(model));
    memcpy(t->session->state, t->best.state, state_bytes(model));
    t->session->step = t->best.step;
    t->trained->epochs = t->best.epochs;
    t->trained->steps = t->best.steps;
}

/* Evaluates and reports what was done since the last report. */
static bool report(Train *t, int64_t done, double loss, double began) {
    const DlrtTraining *training = t->training;
    DlrtEpoch epoch = {.epoch = done / t->batches,
                       .epochs = training->epochs,
                       .step = training->steps ? done : 0,
                       .steps = training->steps,
                       .train_loss = loss};
    if (!evaluate_part(t, DLRT_VALID, &epoch.valid)) return false;
    judge(t, epoch.valid.loss);
    epoch.seconds = dlrt_seconds() - began;
    if (training->on_epoch && !training->on_epoch(training->user, &epoch))
        t->trained->stopped = true;
    return true;
}

static void tell_progress(Train *t, int64_t done, double loss, double began) {
    const DlrtTraining *training = t->training;
    DlrtProgress progress = {.epoch = (done - 1) / t->batches + 1,
                             .epochs = training->epochs,
                             .step = training->steps ? done : 0,
                             .steps = training->steps,
                             .batch = (done - 1) % t->batches + 1,
                             .batches = t->batches,
                             .loss = loss,
                             .seconds = dlrt_seconds() - began};
    if (training->on_progress && !training->on_progress(training->user, &progress))
        t->trained->stopped = true;
}

/* A report closes each epoch, or each tenth of a training that counts steps. Stops between steps
 * when the user asks; a report that is due is made all the same. */
static bool run_steps(Train *t) {
    double began = dlrt_seconds(), sum = 0;
    int64_t seen = 0;
    for (int64_t position = t->first;
         position < t->last && !t->trained->stopped && !t->trained->impatient; position++) {
        double loss;
        int64_t n, done = position + 1;
        if (!run_step(t, position, &loss, &n)) return false;
        sum += loss * (double)n;
        seen += n;
        tell_progress(t, done, sum / (double)seen, began);
        t->trained->epochs = done / t->batches;
        t->trained->steps = done;
        if (done % t->interval && done != t->last) continue;
        if (!report(t, done, sum / (double)seen, began)) return false;
        began = dlrt_seconds();
        sum = 0;
        seen = 0;
    }
    restore_best(t);
    return evaluate_part(t, DLRT_TRAIN, &t->trained->train) &&
           evaluate_part(t, DLRT_VALID, &t->trained->valid) &&
           evaluate_part(t, DLRT_TEST, &t->trained->test);
}

/* Where training begins and ends, in steps. */
static void find_range(Train *t) {
    const DlrtTraining *training = t->training;
    t->batches = (t->count + training->batch - 1) / training->batch;
    if (training->steps) {
        t->first = (int64_t)t->session->step;
        t->last = training->steps;
        t->interval = (training->steps + 9) / 10;
    } else {
        t->first = training->first_epoch * t->batches;
        t->last = training->epochs * t->batches;
        t->interval = t->batches;
    }
}

static bool check(const Train *t) {
    const DlrtModel *model = t->session->model;
    const DlrtTraining *training = t->training;
    if (!session_fits(t->session, t->data, t->error)) return false;
    if (!model->step)
        return error_set(t->error, (Place){0},
                         "model `%s` cannot be trained: it has no loss or no optimizer",
                         model->name);
    if (training->batch < 1 || training->batch > model->max_batch)
        return error_set(t->error, (Place){0},
                         "a batch of %lld examples: the model was compiled for 1 to %lld",
                         (long long)training->batch, (long long)model->max_batch);
    if (t->count == 0)
        return error_set(t->error, (Place){0}, "the data has no examples for training");
    if (training->patience && (!dlrt_data_count(t->data, DLRT_VALID) || !model->evaluate))
        return error_set(t->error, (Place){0},
                         "`patience` looks at the validation loss, and the data has no valid part: "
                         "give it one in the split");
    return true;
}

bool dlrt_train(DlrtSession *session, const DlrtData *data, const DlrtTraining *training,
                DlrtTrained *trained, DlrtError *error) {
    Pool pool = {0};
    double began = dlrt_seconds();
    Train t = {.session = session,
               .data = data,
               .training = training,
               .trained = trained,
               .count = dlrt_data_count(data, DLRT_TRAIN),
               .error = error};
    *trained = (DlrtTrained){.epochs = training->first_epoch};
    if (!check(&t)) return false;
    t.order = pool_take(&pool, t.count, sizeof *t.order);
    if (training->patience) {
        t.best.params = pool_take(&pool, 1, params_bytes(session->model));
        t.best.state = pool_take(&pool, 1, state_bytes(session->model));
    }
    if (!t.order || (training->patience && (!t.best.params || !t.best.state))) {
        pool_free(&pool);
        return error_memory(error, "the order of the examples and the best weights");
    }
    session->seed = training->seed;
    find_range(&t);
    bool good = session_note(session, &data->notes, error) && run_steps(&t);
    trained->seconds = dlrt_seconds() - began;
    pool_free(&pool);
    return good;
}
