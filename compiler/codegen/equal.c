/* codegen/equal.c: kernels that are one function.
 *
 * in:   a kernel and its operands      out: the number of its pattern
 * A pattern is all that the code of a kernel depends on, as a list of words, in which tensors,
 * indices and expressions are numbered as they come: layers of a network that are alike have the
 * kernels of one layer. Where operands lie and which stream its draws have are not in it: these are
 * arguments. Whatever a generator looks at must be.
 */
#include "codegen/calls.h"

#include <string.h>

/* A new field of these is a new word of the pattern, unless no generator reads it. */
_Static_assert(sizeof(Kernel) == 520, "is the new field of a Kernel in its pattern?");
_Static_assert(sizeof(Buffer) == 48, "is the new field of a Buffer in a pattern?");
_Static_assert(sizeof(Expr) == 56, "is the new field of an Expr in a pattern?");

typedef struct Walk {
    Gen *g;
    Operands *o;
    Words *words;
    Map *numbers; /* Tensor*, Index*, Expr* → its number, from 1 */
} Walk;

static void put(Walk *w, int64_t word) {
    vec_push(w->g->ctx->arena, w->words, word);
}

/* Puts the number of what was met before; false: it is new, and what it is has to follow. Nothing
 * has another number than what is new, so that no two lists are read in two ways. */
static bool is_known(Walk *w, const void *what) {
    uintptr_t number = what ? (uintptr_t)map_get(w->numbers, what) : 0;
    put(w, what ? (int64_t)number : -1);
    if (number || !what) return true;
    map_set(w->g->ctx->arena, w->numbers, what, (void *)(uintptr_t)(w->numbers->len + 1));
    return false;
}

static void put_index(Walk *w, const Index *index) {
    if (!is_known(w, index)) put(w, index->extent);
}

static void put_indices(Walk *w, Index *const *indices, uint32_t n) {
    put(w, n);
    for (uint32_t i = 0; i < n; i++) put_index(w, indices[i]);
}

static void put_tensor(Walk *w, const Tensor *tensor) {
    if (is_known(w, tensor)) return;
    put(w, tensor->rank);
    for (uint32_t d = 0; d < tensor->rank; d++) put(w, tensor->dims[d]);
    put(w, tensor->classes);
    put(w, plan_is_rounded(w->g->function, tensor));
    const uint32_t *order = map_get(&w->g->function->storage, tensor);
    for (uint32_t d = 0; d < tensor->rank; d++) put(w, order ? order[d] : d);
    put(w, (int64_t)(uintptr_t)map_get(&w->o->number, tensor));
    const Buffer *buffer = map_get(&w->g->function->buffer_of, tensor);
    put_index(w, buffer ? buffer->rows : NULL);
}

static void put_site(Walk *w, uint32_t site) {
    uint32_t i = 0;
    while (i < w->o->sites.len && w->o->sites.at[i] != site) i++;
    if (i == w->o->sites.len) vec_push(w->g->ctx->arena, &w->o->sites, site);
    put(w, i);
}

static void put_expr(Walk *w, const Expr *e);

static void put_exprs(Walk *w, const Expr *const *exprs, uint32_t n) {
    put(w, n);
    for (uint32_t i = 0; i < n; i++) put_expr(w, exprs[i]);
}

static void put_number(Walk *w, double number) {
    int64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put(w, bits);
}

static void put_node(Walk *w, const Expr *e) {
    switch (e->kind) {
    case EX_NUMBER: put_number(w, e->number); return;
    case EX_TRUTH: put(w, e->truth); return;
    case EX_AFFINE:
        put(w, e->affine.offset);
        put(w, e->affine.nterms);
        for (uint32_t i = 0; i < e->affine.nterms; i++) {
            put(w, e->affine.terms[i].coefficient);
            put_expr(w, e->affine.terms[i].atom);
        }
        return;
    case EX_INDEX: put_index(w, e->index); return;
    case EX_FLOORDIV:
    case EX_MOD:
        put_expr(w, e->div.num);
        put(w, e->div.den);
        return;
    case EX_REAL: put_expr(w, e->integer); return;
    case EX_OP:
        put(w, e->op.op);
        put_exprs(w, e->op.args, e->op.nargs);
        return;
    case EX_READ:
        put_tensor(w, e->read.tensor);
        put_exprs(w, e->read.subs, e->read.tensor->rank);
        put_expr(w, e->read.otherwise);
        return;
    case EX_REDUCE:
        put(w, e->reduce.op);
        put_indices(w, e->reduce.over, e->reduce.nover);
        put_expr(w, e->reduce.body);
        return;
    case EX_CONTRACT:
        put_indices(w, e->contract.over, e->contract.nover);
        put_exprs(w, e->contract.factors, e->contract.nfactors);
        return;
    case EX_DRAW:
        put(w, e->draw.kind);
        put_site(w, e->draw.site);
        put_expr(w, e->draw.counter);
        return;
    case EX_STEP:
    case EX_BATCH: return;
    }
}

static void put_expr(Walk *w, const Expr *e) {
    if (is_known(w, e)) return;
    put(w, e->kind);
    put(w, e->type);
    put_node(w, e);
}

static void put_split(Walk *w, const Split *split) {
    put_index(w, split->index);
    put(w, split->parts);
    put(w, split->unit);
    put(w, split->is_whole);
    put_index(w, split->number);
}

static void put_blocking(Walk *w, const Blocking *b) {
    put(w, b->panel_bytes);
    put(w, b->rows);
    put(w, b->rows_bytes);
    put(w, b->turns);
    put_index(w, b->pair);
    put(w, b->copy_bytes);
    put(w, b->workspace_bytes);
    put(w, b->kept_at);
    put(w, b->kept_bytes);
}

static void put_roles(Walk *w, const Roles *roles) {
    put_indices(w, roles->batch, roles->nbatch);
    put_indices(w, roles->m, roles->nm);
    put_indices(w, roles->n, roles->nn);
    put_indices(w, roles->k, roles->nk);
    put_expr(w, roles->a);
    put_expr(w, roles->b);
}

static void put_winograd(Walk *w, const Winograd *winograd) {
    put(w, winograd->tile);
    if (winograd->tile == 0) return;
    put(w, winograd->is_gradient);
    put(w, winograd->pairs);
    put(w, winograd->together);
    put(w, winograd->rows);
    put(w, winograd->columns);
    put_index(w, winograd->batch);
    put_indices(w, winograd->places, 2);
    put_indices(w, winograd->taps, 2);
    put_index(w, winograd->in);
    put_index(w, winograd->out);
    put_expr(w, winograd->sliding);
    put_expr(w, winograd->other);
}

static void put_reductions(Walk *w, const Kernel *k) {
    put(w, k->op);
    put_indices(w, k->over, k->nover);
    put_expr(w, k->body);
    put_tensor(w, k->acc);
    put(w, k->nalso);
    for (uint32_t i = 0; i < k->nalso; i++) {
        put(w, k->also[i].op);
        put_expr(w, k->also[i].body);
        put_tensor(w, k->also[i].acc);
    }
}

static void put_stores(Walk *w, const Kernel *k) {
    put(w, k->nstores);
    for (uint32_t i = 0; i < k->nstores; i++) {
        put_tensor(w, k->stores[i].tensor);
        put_indices(w, k->stores[i].at, k->stores[i].tensor->rank);
        put_expr(w, k->stores[i].value);
    }
}

static void put_kernel(Walk *w, const Kernel *k) {
    put(w, k->kind);
    put_indices(w, k->free, k->nfree);
    put_index(w, k->vector);
    put_reductions(w, k);
    put_roles(w, &k->roles);
    put_blocking(w, &k->blocking);
    put(w, k->part);
    put_winograd(w, &k->winograd);
    put_stores(w, k);
    put(w, k->scatter_dim);
    put_expr(w, k->row);
    put_index(w, k->time);
    put(w, k->direction);
    put(w, k->turn_bytes);
    put(w, k->block);
    put(w, k->around ? k->around->block : 0);
    put_index(w, k->band.index);
    put(w, k->band.low);
    put(w, k->band.high);
    put_split(w, &k->split);
    put(w, k->parts_of != NULL);
    if (k->parts_of) put_split(w, &k->parts_of->split);
    put(w, k->nsteps);
    for (uint32_t i = 0; i < k->nsteps; i++) put_kernel(w, k->steps[i]);
}

static void put_operands(Walk *w) {
    put(w, w->o->all.len);
    for (uint32_t i = 0; i < w->o->all.len; i++) {
        const Operand *operand = &w->o->all.at[i];
        put(w, operand->buffer->place);
        put(w, operand->buffer->bytes);
        put(w, operand->is_written);
        put(w, operand->overlaps);
        put_tensor(w, operand->tensor);
    }
}

/* ---- the same pattern ------------------------------------------------------------------------ */

enum { FIRST_SLOTS = 64 };

static uint64_t hash_words(const int64_t *words, uint32_t n) {
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ (uint64_t)words[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 32;
    return h;
}

static bool are_equal(const Pattern *a, const Pattern *b) {
    return a->hash == b->hash && a->nwords == b->nwords &&
           memcmp(a->words, b->words, a->nwords * sizeof *a->words) == 0;
}

/* The slot of the pattern, or the empty one where it belongs. */
static uint32_t slot_of(const Patterns *patterns, const Pattern *pattern) {
    uint32_t mask = patterns->nslots - 1, i = (uint32_t)pattern->hash & mask;
    while (patterns->slots[i] && !are_equal(&patterns->all.at[patterns->slots[i] - 1], pattern))
        i = (i + 1) & mask;
    return i;
}

static void make_room(Arena *arena, Patterns *patterns) {
    if (patterns->all.len * 2 < patterns->nslots) return;
    patterns->nslots = patterns->nslots ? patterns->nslots * 2 : FIRST_SLOTS;
    patterns->slots = ARENA_ARRAY(arena, uint32_t, patterns->nslots);
    for (uint32_t i = 0; i < patterns->all.len; i++)
        patterns->slots[slot_of(patterns, &patterns->all.at[i])] = i + 1;
}

uint32_t equal_pattern(Gen *g, Patterns *patterns, const Kernel *k, Operands *o) {
    patterns->words.len = 0;
    map_clear(&patterns->numbers);
    Walk w = {g, o, &patterns->words, &patterns->numbers};
    put_kernel(&w, k);
    put_operands(&w);
    Pattern pattern = {w.words->at, w.words->len, hash_words(w.words->at, w.words->len)};
    make_room(g->ctx->arena, patterns);
    uint32_t slot = slot_of(patterns, &pattern);
    if (!patterns->slots[slot]) {
        int64_t *words = ARENA_ARRAY(g->ctx->arena, int64_t, pattern.nwords);
        memcpy(words, pattern.words, pattern.nwords * sizeof *words);
        pattern.words = words;
        vec_push(g->ctx->arena, &patterns->all, pattern);
        patterns->slots[slot] = patterns->all.len;
    }
    return patterns->slots[slot] - 1;
}

/* ---- the check ------------------------------------------------------------------------------- */

/* Two printed functions, and how far they were read. */
typedef struct Texts {
    Ctx *ctx;
    const char *at[2];
    Map names[2]; /* Sym of the one → that of the other */
} Texts;

static bool is_of_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '$';
}

static Sym read_name(Texts *t, int which) {
    const char *begin = t->at[which], *end = begin;
    if (*end == '"') {
        const char *quote = strchr(end + 1, '"');
        end = quote ? quote + 1 : end + 1;
    }
    while (is_of_name(*end)) end++;
    t->at[which] = end;
    return sym_n(t->ctx, begin, (size_t)(end - begin));
}

/* Names may differ, if one always stands for the same other one. */
static bool same_names(Texts *t) {
    Sym names[2] = {read_name(t, 0), read_name(t, 1)};
    for (int i = 0; i < 2; i++) {
        if (!map_has(&t->names[i], names[i]))
            map_set(t->ctx->arena, &t->names[i], names[i], (void *)names[!i]);
        if (map_get(&t->names[i], names[i]) != names[!i]) return false;
    }
    return true;
}

static void skip_spaces(Texts *t) {
    for (int i = 0; i < 2; i++) t->at[i] += strspn(t->at[i], " ");
}

static bool same_texts(Texts *t) {
    bool begins_line = true; /* then a name is a label */
    for (;;) {
        skip_spaces(t);
        char c = *t->at[0];
        bool is_name = c == '%' || c == '@' || (begins_line && (is_of_name(c) || c == '"'));
        if (begins_line && is_name && !strchr("%@", c)) {
            /* What is no label is a word of LLVM's. */
            if (!same_names(t)) return false;
            begins_line = false;
            continue;
        }
        if (c != *t->at[1]) return false;
        if (!c) return true;
        t->at[0]++, t->at[1]++;
        if (is_name && !same_names(t)) return false;
        begins_line = c == '\n';
    }
}

void equal_verify(Gen *g, LLVMValueRef one, LLVMValueRef other, const Kernel *k) {
    char *printed[] = {LLVMPrintValueToString(one), LLVMPrintValueToString(other)};
    Texts texts = {.ctx = g->ctx, .at = {printed[0], printed[1]}};
    bool same = same_texts(&texts);
    for (int i = 0; i < 2; i++) LLVMDisposeMessage(printed[i]);
    if (!same)
        DLC_BUG(g->ctx, k->span, "the code of `%s` differs from that of its pattern", k->name);
}
