/* runtime/train.c: the training loop.
 *
 * in: a session, data, how long     out: trained weights in the session, scores of all parts
 * invariant: what a step sees is a function of seed, epoch and step alone, so that training that
 * was saved and resumed after an epoch gives the bits of training that was not.
 */
#include "runtime/private.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

typedef struct Train {
    DlrtSession *session;
    const DlrtData *data;
    const DlrtTraining *training;
    DlrtTrained *trained;
    int64_t *order, count;
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

/* The loss of an epoch, in *loss; false: an error. Stops between steps when the user asks. */
static bool run_epoch(Train *t, int64_t epoch, double *loss) {
    const DlrtTraining *training = t->training;
    double began = dlrt_seconds(), sum = 0;
    DlrtProgress progress = {.epoch = epoch,
                             .epochs = training->epochs,
                             .batches = (t->count + training->batch - 1) / training->batch};
    dlrt_shuffle(t->order, t->count, training->seed, (uint64_t)epoch);
    for (int64_t first = 0; first < t->count && !t->trained->stopped; first += training->batch) {
        int64_t left = t->count - first, n = left < training->batch ? left : training->batch;
        batch_gather(t->session, t->data, DLRT_TRAIN, t->order, first, n);
        double step_loss = take_step(t, n);
        progress.batch++;
        if (!isfinite(step_loss)) return fail_loss(t, epoch, progress.batch, step_loss);
        sum += step_loss * (double)n;
        progress.loss = sum / (double)(first + n);
        progress.seconds = dlrt_seconds() - began;
        if (training->on_progress && !training->on_progress(training->user, &progress))
            t->trained->stopped = true;
    }
    *loss = progress.loss;
    /* Stopped after the last step: the epoch is done all the same. */
    if (progress.batch == progress.batches) t->trained->epochs = epoch;
    return true;
}

static bool evaluate_part(Train *t, DlrtPart part, DlrtScores *scores) {
    *scores = (DlrtScores){0};
    if (!t->session->model->evaluate || dlrt_data_count(t->data, part) == 0) return true;
    return dlrt_evaluate(t->session, t->data, part, scores, t->error);
}

static bool run_epochs(Train *t) {
    const DlrtTraining *training = t->training;
    for (int64_t epoch = training->first_epoch + 1;
         epoch <= training->epochs && !t->trained->stopped; epoch++) {
        double began = dlrt_seconds();
        DlrtEpoch report = {.epoch = epoch, .epochs = training->epochs};
        if (!run_epoch(t, epoch, &report.train_loss)) return false;
        if (t->trained->epochs < epoch) break;
        if (!evaluate_part(t, DLRT_VALID, &report.valid)) return false;
        report.seconds = dlrt_seconds() - began;
        if (training->on_epoch && !training->on_epoch(training->user, &report))
            t->trained->stopped = true;
    }
    return evaluate_part(t, DLRT_TRAIN, &t->trained->train) &&
           evaluate_part(t, DLRT_VALID, &t->trained->valid) &&
           evaluate_part(t, DLRT_TEST, &t->trained->test);
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
    if (!t.order) return error_memory(error, "the order of the examples");
    session->seed = training->seed;
    bool good = run_epochs(&t);
    trained->seconds = dlrt_seconds() - began;
    pool_free(&pool);
    return good;
}
