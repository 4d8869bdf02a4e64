/* tests/unit/training.c: the training loop, evaluation, prediction, on a model written by hand. */
#include "line.h"

#include "runtime/private.h"

static DlrtSession *open_session(const DlrtModel *model, uint64_t seed) {
    DlrtError error = {0};
    DlrtSession *session = dlrt_session_open(model, seed, &error);
    EXPECT_STR(error.message, "");
    if (!session) exit(2);
    line_calls = (LineCalls){0};
    return session;
}

static DlrtTrained train(DlrtSession *session, const DlrtData *data, DlrtTraining training) {
    DlrtError error = {0};
    DlrtTrained trained;
    if (!training.batch) training.batch = LINE_BATCH;
    EXPECT(dlrt_train(session, data, &training, &trained, &error));
    EXPECT_STR(error.message, "");
    return trained;
}

/* 45 examples in batches of 8: five whole ones and one of 5, none left out. */
static void test_last_batch(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 45, 0, 0, 0);
    DlrtSession *session = open_session(&model, 1);
    DlrtTrained trained = train(session, data, (DlrtTraining){.epochs = 3, .seed = 9});
    EXPECT_INT(line_calls.steps, 3 * 6);
    EXPECT_INT(line_calls.step_examples, 3 * 45);
    EXPECT_INT(line_calls.smallest, 5);
    EXPECT_INT(line_calls.largest, 8);
    EXPECT_INT(line_calls.last_step, 18);
    EXPECT_INT(line_calls.seed, 9);
    EXPECT_INT(line_calls.evaluations, 6);
    EXPECT_INT(line_calls.evaluated_examples, 45);
    EXPECT_INT(dlrt_session_step(session), 18);
    EXPECT_INT(trained.epochs, 3);
    EXPECT(!trained.stopped);
    EXPECT(trained.train.present && !trained.valid.present && !trained.test.present);
    dlrt_session_close(session);
    dlrt_data_close(data);
}

static void test_learns(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 300, 70, 10, 20);
    DlrtSession *session = open_session(&model, 1);
    DlrtTrained trained = train(session, data, (DlrtTraining){.epochs = 200, .seed = 1});
    const float *w = dlrt_session_params(session);
    EXPECT_NEAR(w[0], 2, 1e-3);
    EXPECT_NEAR(w[1], -1, 1e-3);
    EXPECT_NEAR(w[2], 0.5, 1e-3);
    EXPECT_NEAR(w[LINE_B], 1, 1e-3);
    EXPECT_INT(trained.train.count, 210);
    EXPECT_INT(trained.valid.count, 30);
    EXPECT_INT(trained.test.count, 60);
    EXPECT(trained.test.loss < 1e-5);
    dlrt_session_close(session);
    dlrt_data_close(data);
}

/* Scores are those of all examples, not a mean over batches of different sizes. */
static void test_scores(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 45, 0, 0, 0);
    DlrtSession *session = open_session(&model, 1);
    DlrtError error = {0};
    DlrtScores scores;
    double sum = 0;
    const float *w = dlrt_session_params(session);
    for (int64_t i = 0; i < 45; i++) {
        const float *x = dlrt_data_example(data, DLRT_TRAIN, 0, i);
        double e = line_value(w, x) - *(const float *)dlrt_data_example(data, DLRT_TRAIN, 1, i);
        sum += e * e;
    }
    EXPECT(dlrt_evaluate(session, data, DLRT_TRAIN, &scores, &error));
    EXPECT_NEAR(scores.loss, sum / 45, 1e-6 * sum);
    EXPECT_NEAR(scores.metrics[0], sqrt(sum / 45), 1e-5);
    EXPECT_INT(scores.count, 45);
    EXPECT(!dlrt_evaluate(session, data, DLRT_TEST, &scores, &error));
    EXPECT_ERROR(error, "the data has no test part");
    dlrt_session_close(session);
    dlrt_data_close(data);
}

/* ---- the order of the examples -------------------------------------------------------------- */

/* dlrt_train, written out. */
static void train_by_hand(const DlrtModel *model, const DlrtData *data, float *w, float *v,
                          int64_t epochs, int64_t batch, uint64_t seed) {
    _Alignas(64) char arena[LINE_ARENA];
    _Alignas(64) float x[LINE_BATCH * LINE_INPUTS], y[LINE_BATCH];
    int64_t n = dlrt_data_count(data, DLRT_TRAIN), order[512];
    uint64_t step = 0;
    for (int64_t epoch = 1; epoch <= epochs; epoch++) {
        dlrt_shuffle(order, n, seed, (uint64_t)epoch);
        for (int64_t first = 0; first < n; first += batch) {
            int64_t count = n - first < batch ? n - first : batch;
            for (int64_t i = 0; i < count; i++) {
                int64_t e = order[first + i];
                memcpy(x + i * LINE_INPUTS, dlrt_data_example(data, DLRT_TRAIN, 0, e), 12);
                memcpy(y + i, dlrt_data_example(data, DLRT_TRAIN, 1, e), 4);
            }
            float loss;
            DlrtCall call = {
                w, v, (const void *[]){x, y}, (void *[]){&loss}, count, seed, ++step, arena, NULL};
            model->step(&call);
        }
    }
}

static void test_order(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 100, 80, 20, 0);
    for (int64_t batch = 1; batch <= LINE_BATCH; batch += 7) {
        _Alignas(64) float w[LINE_PARAMS] = {0}, v[16] = {0};
        _Alignas(64) char arena[LINE_ARENA];
        DlrtSession *session = open_session(&model, 5);
        train(session, data, (DlrtTraining){.epochs = 4, .batch = batch, .seed = 5});
        DlrtCall init = {.params = w, .state = v, .n = 1, .seed = 5, .arena = arena};
        model.init(&init);
        train_by_hand(&model, data, w, v, 4, batch, 5);
        EXPECT(memcmp(w, dlrt_session_params(session), sizeof w) == 0);
        EXPECT(memcmp(v, dlrt_session_state(session), sizeof v) == 0);
        dlrt_session_close(session);
    }
    dlrt_data_close(data);
}

static void test_shuffle(void) {
    enum { N = 1000 };
    int64_t a[N], b[N], first[7] = {0};
    bool seen[N] = {false};
    dlrt_shuffle(a, N, 3, 1);
    dlrt_shuffle(b, N, 3, 1);
    EXPECT(memcmp(a, b, sizeof a) == 0);
    for (int i = 0; i < N; i++) seen[a[i]] = true;
    int all = 0;
    for (int i = 0; i < N; i++) all += seen[i];
    EXPECT_INT(all, N);
    dlrt_shuffle(b, N, 3, 2);
    EXPECT(memcmp(a, b, sizeof a) != 0);
    dlrt_shuffle(b, N, 4, 1);
    EXPECT(memcmp(a, b, sizeof a) != 0);
    /* Every element comes first about as often. */
    for (uint64_t seed = 0; seed < 7000; seed++) {
        dlrt_shuffle(b, 7, seed, 1);
        first[b[0]]++;
    }
    for (int i = 0; i < 7; i++) EXPECT(first[i] > 850 && first[i] < 1150);
    dlrt_shuffle(a, 0, 1, 1);
    dlrt_shuffle(a, 1, 1, 1);
    EXPECT_INT(a[0], 0);
    /* The documented formula, for those who rebuild it: these never change. */
    static const int64_t known[] = {4, 2, 3, 1, 0};
    dlrt_shuffle(b, 5, 1, 1);
    for (int i = 0; i < 5; i++) EXPECT_INT(b[i], known[i]);
}

/* ---- stopping, going on ---------------------------------------------------------------------- */

typedef struct Watch {
    int64_t progress, epochs, stop_at, batches;
    DlrtEpoch last;
} Watch;

static bool on_progress(void *user, const DlrtProgress *p) {
    Watch *w = user;
    w->progress++;
    w->batches = p->batches;
    EXPECT(p->batch >= 1 && p->batch <= p->batches);
    return w->progress != w->stop_at;
}

static bool on_epoch(void *user, const DlrtEpoch *e) {
    Watch *w = user;
    w->epochs++;
    w->last = *e;
    return true;
}

static void test_callbacks(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 100, 80, 20, 0);
    Watch watch = {0};
    DlrtTraining training = {
        .epochs = 5, .seed = 2, .user = &watch, .on_progress = on_progress, .on_epoch = on_epoch};
    DlrtSession *session = open_session(&model, 2);
    DlrtTrained trained = train(session, data, training);
    EXPECT_INT(watch.progress, 50);
    EXPECT_INT(watch.batches, 10);
    EXPECT_INT(watch.epochs, 5);
    EXPECT_INT(watch.last.epoch, 5);
    EXPECT(watch.last.valid.present && watch.last.valid.count == 20);
    EXPECT_NEAR(watch.last.valid.loss, trained.valid.loss, 0);
    dlrt_session_close(session);
    /* Stopped within epoch 2: only the first is done. */
    watch = (Watch){.stop_at = 15};
    session = open_session(&model, 2);
    trained = train(session, data, training);
    EXPECT(trained.stopped);
    EXPECT_INT(trained.epochs, 1);
    EXPECT_INT(watch.epochs, 1);
    EXPECT_INT(dlrt_session_step(session), 15);
    dlrt_session_close(session);
    /* Stopped behind the last step of an epoch: it counts. */
    watch = (Watch){.stop_at = 20};
    session = open_session(&model, 2);
    trained = train(session, data, training);
    EXPECT(trained.stopped);
    EXPECT_INT(trained.epochs, 2);
    dlrt_session_close(session);
    dlrt_data_close(data);
}

/* Saved after two epochs and resumed: the bits of five epochs in one go. */
static void test_resume(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 100, 80, 20, 0);
    DlrtError error = {0};
    DlrtSession *whole = open_session(&model, 3), *first, *second;
    train(whole, data, (DlrtTraining){.epochs = 5, .seed = 3});
    first = open_session(&model, 3);
    train(first, data, (DlrtTraining){.epochs = 2, .seed = 3});
    EXPECT(dlrt_save(first, test_path("two.safetensors"), 2, &error));
    int64_t epoch = 0;
    second = open_session(&model, 77);
    EXPECT(dlrt_load(second, test_path("two.safetensors"), &epoch, &error));
    EXPECT_STR(error.message, "");
    EXPECT_INT(epoch, 2);
    EXPECT_INT(dlrt_session_step(second), 20);
    DlrtTrained trained =
        train(second, data, (DlrtTraining){.epochs = 5, .first_epoch = epoch, .seed = 3});
    EXPECT_INT(trained.epochs, 5);
    EXPECT(memcmp(dlrt_session_params(whole), dlrt_session_params(second), LINE_PARAMS * 4) == 0);
    EXPECT(memcmp(dlrt_session_state(whole), dlrt_session_state(second), 16 * 4) == 0);
    dlrt_session_close(whole);
    dlrt_session_close(first);
    dlrt_session_close(second);
    dlrt_data_close(data);
}

/* Steps instead of epochs: 25 of 10 to an epoch, in reports of 3; in one go or resumed. */
static void test_steps(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 100, 80, 20, 0);
    DlrtError error = {0};
    Watch watch = {0};
    DlrtTraining training = {.steps = 25, .seed = 3, .user = &watch, .on_epoch = on_epoch};
    DlrtSession *whole = open_session(&model, 3), *first, *second;
    DlrtTrained trained = train(whole, data, training);
    EXPECT_INT(trained.steps, 25);
    EXPECT_INT(trained.epochs, 2);
    EXPECT_INT(watch.epochs, 9);
    EXPECT_INT(watch.last.step, 25);
    EXPECT_INT(watch.last.steps, 25);
    EXPECT_INT(watch.last.valid.count, 20);
    EXPECT_INT(dlrt_session_step(whole), 25);
    first = open_session(&model, 3);
    training.steps = 7;
    train(first, data, training);
    EXPECT(dlrt_save(first, test_path("seven.safetensors"), 0, &error));
    int64_t epoch = 0;
    second = open_session(&model, 77);
    EXPECT(dlrt_load(second, test_path("seven.safetensors"), &epoch, &error));
    training.steps = 25;
    train(second, data, training);
    EXPECT(memcmp(dlrt_session_params(whole), dlrt_session_params(second), LINE_PARAMS * 4) == 0);
    EXPECT(memcmp(dlrt_session_state(whole), dlrt_session_state(second), 16 * 4) == 0);
    dlrt_session_close(whole);
    dlrt_session_close(first);
    dlrt_session_close(second);
    /* 20 steps are two epochs. */
    whole = open_session(&model, 3), first = open_session(&model, 3);
    train(whole, data, (DlrtTraining){.epochs = 2, .seed = 3});
    train(first, data, (DlrtTraining){.steps = 20, .seed = 3});
    EXPECT(memcmp(dlrt_session_params(whole), dlrt_session_params(first), LINE_PARAMS * 4) == 0);
    dlrt_session_close(whole);
    dlrt_session_close(first);
    dlrt_data_close(data);
}

/* Folds: each row is in validation once, and never in training then; test keeps its own. */
static void test_folds(void) {
    DlrtModel model = line_model();
    DlrtError error = {0};
    for (int order = 0; order < 2; order++) {
        int seen[100] = {0}, tests = 0;
        for (int64_t fold = 0; fold < 3; fold++) {
            DlrtDataSpec spec = {
                .percent = {90, 0, 10}, .fold = fold, .folds = 3, .in_order = order};
            DlrtData *data = line_open(&model, 100, spec, &error);
            if (!data) exit(2);
            int64_t valid = dlrt_data_count(data, DLRT_VALID);
            EXPECT_INT(valid, 30);
            EXPECT_INT(dlrt_data_count(data, DLRT_TRAIN), 90 - valid);
            for (int64_t i = 0; i < valid; i++) seen[data->rows[DLRT_VALID][i]]++;
            for (int64_t i = 0; i < 90 - valid; i++) EXPECT(seen[data->rows[DLRT_TRAIN][i]] < 3);
            tests += (int)dlrt_data_count(data, DLRT_TEST);
            if (order && fold == 1) EXPECT_INT(data->rows[DLRT_VALID][0], 30);
            dlrt_data_close(data);
        }
        int once = 0;
        for (int i = 0; i < 100; i++) once += seen[i] == 1;
        EXPECT_INT(once, 90);
        EXPECT_INT(tests, 30);
    }
    EXPECT(!line_open(&model, 2, (DlrtDataSpec){.folds = 3}, &error));
    EXPECT_ERROR(error, "2 examples cannot be divided into 3 folds");
}

/* ---- predictions and mistakes ---------------------------------------------------------------- */

static void test_predict(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 45, 0, 0, 0);
    DlrtSession *session = open_session(&model, 1);
    DlrtError error = {0};
    float p[45], bias = 0;
    void *outputs[] = {p, &bias};
    EXPECT(dlrt_predict(session, data, DLRT_TRAIN, 3, 42, outputs, &error));
    for (int64_t i = 0; i < 42; i++) {
        const float *x = dlrt_data_example(data, DLRT_TRAIN, 0, i + 3);
        EXPECT_NEAR(p[i], line_value(dlrt_session_params(session), x), 0);
    }
    EXPECT_NEAR(bias, 0.5, 0);
    EXPECT(dlrt_predict(session, data, DLRT_TRAIN, 45, 0, outputs, &error));
    EXPECT(!dlrt_predict(session, data, DLRT_TRAIN, 40, 6, outputs, &error));
    EXPECT_ERROR(error, "6 examples from number 41 on were asked for: the train part has 45");
    EXPECT(!dlrt_predict(session, data, DLRT_TRAIN, -1, 1, outputs, &error));
    EXPECT(!dlrt_predict(session, data, DLRT_TRAIN, 1, INT64_MAX, outputs, &error));
    model.forward = NULL;
    EXPECT(!dlrt_predict(session, data, DLRT_TRAIN, 0, 1, outputs, &error));
    EXPECT_ERROR(error, "model `line` has no output");
    dlrt_session_close(session);
    dlrt_data_close(data);
}

static void expect_refused(DlrtSession *session, const DlrtData *data, DlrtTraining training,
                           const char *part) {
    DlrtError error = {0};
    DlrtTrained trained;
    EXPECT(!dlrt_train(session, data, &training, &trained, &error));
    EXPECT_ERROR(error, part);
}

static void test_refusals(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 45, 0, 0, 0), *none = line_data(&model, 45, 0, 0, 100);
    DlrtSession *session = open_session(&model, 1);
    expect_refused(session, data, (DlrtTraining){.epochs = 1, .batch = 9}, "compiled for 1 to 8");
    expect_refused(session, data, (DlrtTraining){.epochs = 1, .batch = 0}, "a batch of 0");
    expect_refused(session, none, (DlrtTraining){.epochs = 1, .batch = 8},
                   "no examples for training");
    float poisons[] = {NAN, INFINITY, -INFINITY};
    static const char *const words[] = {"became not a number in epoch 1, step 1", "became infinite",
                                        "became minus infinity"};
    for (int i = 0; i < 3; i++) {
        line_calls.poison = poisons[i];
        expect_refused(session, data, (DlrtTraining){.epochs = 1, .batch = 8}, words[i]);
    }
    line_calls.poison = 0;
    model.step = NULL;
    expect_refused(session, data, (DlrtTraining){.epochs = 1, .batch = 8},
                   "has no loss or no optimizer");
    DlrtModel other = line_model();
    DlrtPort wide = test_port("x", DIMS(4), 0);
    other.inputs = &wide;
    DlrtSession *wrong = open_session(&other, 1);
    expect_refused(wrong, data, (DlrtTraining){.epochs = 1, .batch = 8},
                   "opened for another model");
    dlrt_session_close(wrong);
    dlrt_session_close(session);
    dlrt_data_close(data);
    dlrt_data_close(none);
}

/* The line is learned in no time; then validation goes no better, and the best weights are kept. */
static void test_patience(void) {
    DlrtModel model = line_model();
    DlrtData *data = line_data(&model, 100, 80, 20, 0), *none = line_data(&model, 45, 0, 0, 0);
    DlrtSession *session = open_session(&model, 2);
    DlrtTrained trained = train(session, data, (DlrtTraining){.epochs = 5000, .patience = 4});
    EXPECT(trained.impatient && !trained.stopped);
    EXPECT(trained.epochs < 4990);
    EXPECT_INT(dlrt_session_step(session), trained.steps);
    DlrtScores scores;
    DlrtError error = {0};
    EXPECT(dlrt_evaluate(session, data, DLRT_VALID, &scores, &error));
    EXPECT_NEAR(scores.loss, trained.valid.loss, 0);
    /* These are the weights that so many epochs without patience give. */
    DlrtSession *plain = open_session(&model, 2);
    train(plain, data, (DlrtTraining){.epochs = trained.epochs});
    EXPECT(memcmp(dlrt_session_params(plain), dlrt_session_params(session), LINE_PARAMS * 4) == 0);
    expect_refused(session, none, (DlrtTraining){.epochs = 1, .batch = 8, .patience = 1},
                   "`patience` looks at the validation loss, and the data has no valid part");
    dlrt_session_close(plain);
    dlrt_session_close(session);
    dlrt_data_close(data);
    dlrt_data_close(none);
}

static void test_sessions(void) {
    DlrtError error = {0};
    DlrtModel model = line_model();
    model.real_bytes = 2;
    EXPECT(!dlrt_session_open(&model, 1, &error));
    EXPECT_ERROR(error, "2 bytes");
    model = line_model();
    model.nmetrics = 17;
    EXPECT(!dlrt_session_open(&model, 1, &error));
    EXPECT_ERROR(error, "17 metrics");
    model = line_model();
    model.max_batch = 0;
    EXPECT(!dlrt_session_open(&model, 1, &error));
    EXPECT_ERROR(error, "batches of 0 examples");
    model = line_model();
    model.arena_bytes = INT64_MAX;
    EXPECT(!dlrt_session_open(&model, 1, &error));
    EXPECT_ERROR(error, "not enough memory");
    model = line_model();
    model.max_batch = INT64_MAX / 2;
    EXPECT(!dlrt_session_open(&model, 1, &error));
    EXPECT_ERROR(error, "a smaller batch needs less");
}

int main(void) {
    test_folder_begin();
    test_last_batch();
    test_learns();
    test_scores();
    test_order();
    test_shuffle();
    test_callbacks();
    test_resume();
    test_steps();
    test_folds();
    test_patience();
    test_predict();
    test_refusals();
    test_sessions();
    test_folder_end();
    TEST_END();
}
