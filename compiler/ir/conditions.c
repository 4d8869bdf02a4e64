/* ir/conditions.c: questions that are answered already.
 *
 * in:   any module      out: the same, in which no `if` asks what an `if` around it has decided
 * Derivatives are full of them: each branch of an `if` masks what it passes on.
 */
#include "ir/passes.h"

typedef struct Conditions {
    Ctx *ctx;
    Map shorter; /* select → its condition given those around it */
    Map done;    /* select → what it becomes */
} Conditions;

typedef enum Answer { OPEN, YES, NO } Answer;

static bool is_op(const Expr *e, Op op) {
    return e->kind == EX_OP && e->op.op == op;
}

/* What `fact`, which is true or not, says about `question`. */
static Answer follows(const Expr *fact, bool truth, const Expr *question) {
    if (fact == question) return truth ? YES : NO;
    if (is_op(fact, OP_NOT)) return follows(fact->op.args[0], !truth, question);
    if (!is_op(fact, truth ? OP_AND : OP_OR)) return OPEN;
    Answer first = follows(fact->op.args[0], truth, question);
    return first != OPEN ? first : follows(fact->op.args[1], truth, question);
}

static const Expr *shorten(Ctx *ctx, const Expr *condition, const Path *path) {
    for (const Path *p = path; p; p = p->up) {
        Answer answer = follows(p->condition, p->truth, condition);
        if (answer != OPEN) return ir_truth(ctx, answer == YES);
    }
    bool parts = is_op(condition, OP_AND) || is_op(condition, OP_OR) || is_op(condition, OP_NOT);
    if (!parts) return condition;
    const Expr *args[2] = {0};
    for (uint32_t i = 0; i < condition->op.nargs; i++)
        args[i] = shorten(ctx, condition->op.args[i], path);
    return ir_op(ctx, condition->op.op, args);
}

static const Expr *replace_select(void *data, const Expr *e) {
    Conditions *c = data;
    const Expr *shorter = map_get(&c->shorter, e);
    if (!shorter) return NULL;
    const Expr *done = map_get(&c->done, e);
    if (done) return done;
    const Expr *args[3] = {shorter, e->op.args[1], e->op.args[2]};
    for (uint32_t i = 0; i < 3; i++) args[i] = ir_rewrite(c->ctx, args[i], replace_select, c);
    done = ir_op(c->ctx, OP_SELECT, args);
    map_set(c->ctx->arena, &c->done, e, (void *)done);
    return done;
}

void ir_shorten_conditions(Ctx *ctx, Module *m) {
    for (uint32_t i = 0; i < m->equations.len; i++) {
        Equation *equation = m->equations.at[i];
        if (!(equation->body->has & HAS_SELECT_IN_SELECT)) continue;
        Conditions c = {.ctx = ctx};
        Paths paths = ir_paths(ctx, equation->body);
        for (uint32_t k = 0; k < paths.all.len; k++) {
            const Expr *e = paths.all.at[k];
            if (!is_op(e, OP_SELECT) || !paths.of[k]) continue;
            const Expr *shorter = shorten(ctx, e->op.args[0], paths.of[k]);
            if (shorter != e->op.args[0]) map_set(ctx->arena, &c.shorter, e, (void *)shorter);
        }
        if (c.shorter.len) equation->body = ir_rewrite(ctx, equation->body, replace_select, &c);
    }
}
