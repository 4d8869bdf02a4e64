/* runtime/session.c: a model's weights and working memory, and the calls of its functions.
 *
 * in: a compiled model, a seed     out: memory that holds for the session's life; nothing is
 * allocated afterwards, so that training cannot fail for want of memory
 */
#include "runtime/private.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_METRICS = sizeof((DlrtScores *)NULL)->metrics / sizeof(double) };

static uint32_t port_count(const DlrtModel *model) {
    return model->ninputs + model->ntargets;
}

static const DlrtPort *port_at(const DlrtModel *model, uint32_t i) {
    return i < model->ninputs ? &model->inputs[i] : &model->targets[i - model->ninputs];
}

static bool check_model(const DlrtModel *model, DlrtError *error) {
    if (model->real_bytes != 4 && model->real_bytes != 8)
        return error_set(error, (Place){0}, "the model's numbers have %u bytes: 4 or 8 are known",
                         model->real_bytes);
    if (model->nmetrics > MAX_METRICS)
        return error_set(error, (Place){0}, "the model has %u metrics: there may be %d",
                         model->nmetrics, MAX_METRICS);
    if (model->max_batch < 1)
        return error_set(error, (Place){0}, "the model takes batches of %lld examples",
                         (long long)model->max_batch);
    return true;
}

static bool take_memory(DlrtSession *s) {
    const DlrtModel *m = s->model;
    uint32_t ports = port_count(m);
    uint32_t results = m->nstats + 1;
    if (results < m->noutputs) results = m->noutputs;
    if (results < m->nmetrics) results = m->nmetrics;
    s->params = pool_take(&s->pool, m->params_elements, m->real_bytes);
    s->state = pool_take(&s->pool, m->state_elements, m->real_bytes);
    s->arena = pool_take(&s->pool, m->arena_bytes, 1);
    s->batch = pool_take(&s->pool, ports, sizeof *s->batch);
    s->results = pool_take(&s->pool, results, sizeof *s->results);
    s->evaluated = pool_take(&s->pool, (int64_t)m->nstats + 1, sizeof *s->evaluated);
    s->sums = pool_take(&s->pool, (int64_t)m->nstats + 1, sizeof *s->sums);
    if (!s->params || !s->state || !s->arena || !s->batch || !s->results || !s->evaluated ||
        !s->sums)
        return false;
    for (uint32_t i = 0; i < ports; i++) {
        const DlrtPort *port = port_at(m, i);
        int64_t elements = size_product(m->max_batch, port->elements);
        s->batch[i] = pool_take(&s->pool, elements, port->classes ? 4 : m->real_bytes);
        if (!s->batch[i]) return false;
    }
    return true;
}

DlrtSession *dlrt_session_open(const DlrtModel *model, uint64_t seed, DlrtError *error) {
    DlrtSession *session = NULL;
    if (!check_model(model, error)) return NULL;
    session = calloc(1, sizeof *session);
    if (session) {
        session->model = model;
        session->seed = seed;
    }
    if (!session || !take_memory(session)) {
        error_memory(error, "the model and its batches; a smaller batch needs less");
        dlrt_session_close(session);
        return NULL;
    }
    if (model->init) {
        DlrtCall call = session_call(session, 1);
        model->init(&call);
    }
    return session;
}

void dlrt_session_close(DlrtSession *session) {
    if (!session) return;
    pool_free(&session->notes_pool);
    pool_free(&session->pool);
    free(session);
}

void dlrt_session_use(DlrtSession *session, const DlrtParallel *parallel) {
    session->parallel = parallel;
}

void *dlrt_session_params(DlrtSession *session) {
    return session->params;
}

void *dlrt_session_state(DlrtSession *session) {
    return session->state;
}

uint64_t dlrt_session_step(const DlrtSession *session) {
    return session->step;
}

uint64_t dlrt_session_seed(const DlrtSession *session) {
    return session->seed;
}

const char *dlrt_session_class(DlrtSession *session, uint32_t port, int64_t k) {
    Pool *pool = &session->notes_pool;
    const char *name = port_at(session->model, port)->name;
    const char *text = k < 0 ? NULL : notes_text(pool, &session->notes, name, "classes", k);
    return text || k < 0 ? text : notes_text(pool, &session->notes, name, "numbers", k);
}

bool session_note(DlrtSession *session, const Notes *notes, DlrtError *error) {
    Pool pool = {0};
    Notes copy;
    if (!notes_copy(&pool, &copy, notes)) {
        pool_free(&pool);
        return error_memory(error, "notes on the data");
    }
    pool_free(&session->notes_pool);
    session->notes_pool = pool;
    session->notes = copy;
    return true;
}

DlrtCall session_call(DlrtSession *session, int64_t n) {
    return (DlrtCall){.params = session->params,
                      .state = session->state,
                      .inputs = (const void *const *)session->batch,
                      .results = session->results,
                      .n = n,
                      .seed = session->seed,
                      .step = session->step,
                      .arena = session->arena,
                      .parallel = session->parallel};
}

double session_real(const DlrtSession *session, const void *values, int64_t i) {
    return session->model->real_bytes == 8 ? ((const double *)values)[i]
                                           : (double)((const float *)values)[i];
}

bool session_fits(const DlrtSession *session, const DlrtData *data, DlrtError *error) {
    const DlrtModel *model = session->model;
    bool fits = data->nports == port_count(model) && data->real_bytes == model->real_bytes;
    for (uint32_t i = 0; fits && i < data->nports; i++)
        fits = data->ports[i].elements == port_at(model, i)->elements &&
               data->ports[i].classes == port_at(model, i)->classes;
    return fits || error_set(error, (Place){0}, "the data was opened for another model than `%s`",
                             model->name);
}
