/* ir/recurrence.c: the time of a cycle of equations.
 *
 * in:   equations that read each other in a cycle
 * out:  for each a dimension, and for all one direction, such that every read within the cycle is
 * of an earlier time, or of the same time of an equation that can stand before; or an error
 *
 * Candidates for the dimensions are narrowed until they agree: a read of F in E allows the pair (e,
 * f) of dimensions when F's subscript f is E's index e plus a constant of the right sign, or is
 * proved to be on the right side of it under the conditions at the read (a sum over j < t).
 */
#include "ir/passes.h"

enum { MAX_RANK = 32, MOST_CHOICES = 1000 };

typedef enum Lag { LAG_UNKNOWN, LAG_NONE, LAG_SAME, LAG_EARLIER } Lag;

typedef struct GroupRead {
    uint32_t from, to; /* numbers of members: from reads to */
    const Expr *read;
    const Path *path;
    uint8_t *lags[2]; /* for -1 and +1, of each pair of dimensions */
} GroupRead;

typedef struct Search {
    Ctx *ctx;
    Cycle *cycle;
    Map numbers; /* Tensor* → number of the member + 1 */
    Vec(GroupRead) reads;
    uint32_t *domains; /* a bit for each possible time dimension */
    int direction;
    uint32_t choices; /* so far, for one dimension of the first member */
    /* For the message: the first time that failed only by its order within a step. */
    bool stuck;
    Graph stuck_graph;
    Sym stuck_index;
    uint32_t *stuck_domains;
    int stuck_direction;
} Search;

static void collect_reads(Search *s, uint32_t from) {
    Ctx *ctx = s->ctx;
    const Equation *equation = s->cycle->members[from];
    Paths paths = ir_paths(ctx, equation->body);
    for (uint32_t i = 0; i < paths.all.len; i++) {
        const Expr *e = paths.all.at[i];
        if (e->kind != EX_READ) continue;
        uintptr_t number = (uintptr_t)map_get(&s->numbers, e->read.tensor);
        if (!number) continue;
        GroupRead read = {.from = from, .to = (uint32_t)number - 1, .read = e};
        read.path = paths.of[i];
        size_t pairs = (size_t)equation->result->rank * e->read.tensor->rank + 1;
        for (int way = 0; way < 2; way++) read.lags[way] = arena_alloc(ctx->scratch, pairs);
        vec_push(ctx->scratch, &s->reads, read);
    }
}

/* ---- one read ---- */

static Lag find_lag(Search *s, const GroupRead *r, uint32_t e, uint32_t f) {
    Ctx *ctx = s->ctx;
    Index *time = s->cycle->members[r->from]->free[e];
    if (time->extent != r->read->read.tensor->dims[f]) return LAG_NONE;
    const Expr *sub = r->read->read.subs[f], *now = ir_index_value(ctx, time);
    const Expr *back = s->direction > 0 ? ir_int_sub(ctx, now, sub) : ir_int_sub(ctx, sub, now);
    int64_t constant;
    if (ir_is_constant_int(back, &constant))
        return constant > 0 ? LAG_EARLIER : constant == 0 ? LAG_SAME : LAG_NONE;
    uint32_t nknown;
    const Expr **known = ir_path_known(ctx, r->path, &nknown);
    const Expr *before = ir_int_sub(ctx, back, ir_int(ctx, 1));
    if (ir_never_negative(ctx, before, known, nknown)) return LAG_EARLIER;
    return ir_never_negative(ctx, back, known, nknown) ? LAG_SAME : LAG_NONE;
}

static Lag lag(Search *s, const GroupRead *r, uint32_t e, uint32_t f) {
    uint8_t *known = &r->lags[s->direction > 0][e * r->read->read.tensor->rank + f];
    if (*known == LAG_UNKNOWN) *known = (uint8_t)find_lag(s, r, e, f);
    return *known;
}

/* ---- agreement ---- */

static bool in(uint32_t domain, uint32_t dim) {
    return domain >> dim & 1;
}

/* Removes dimensions of both ends of a read that have no partner. True when something changed. */
static bool narrow(Search *s, const GroupRead *r) {
    uint32_t from = 0, to = 0;
    for (uint32_t e = 0; e < MAX_RANK; e++)
        for (uint32_t f = 0; in(s->domains[r->from], e) && f < MAX_RANK; f++) {
            if (!in(s->domains[r->to], f)) continue;
            if (r->from == r->to && e != f) continue;
            if (lag(s, r, e, f) == LAG_NONE) continue;
            from |= 1u << e;
            to |= 1u << f;
        }
    bool changed = from != s->domains[r->from] || to != s->domains[r->to];
    s->domains[r->from] = from;
    s->domains[r->to] = r->from == r->to ? from & to : to;
    return changed;
}

/* Narrows until nothing changes; false when a member has no dimension left. */
static bool agree(Search *s) {
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < s->reads.len; i++) {
            if (narrow(s, &s->reads.at[i])) changed = true;
            if (!s->domains[s->reads.at[i].from]) return false;
        }
    }
    return true;
}

static uint32_t lowest(uint32_t domain) {
    uint32_t dim = 0;
    while (!in(domain, dim)) dim++;
    return dim;
}

/* The reads of the same time, as edges from the reader. */
static Graph same_time(Search *s) {
    Graph graph = ir_graph(s->ctx, s->cycle->n);
    for (uint32_t i = 0; i < s->reads.len; i++) {
        GroupRead *r = &s->reads.at[i];
        uint32_t e = lowest(s->domains[r->from]), f = lowest(s->domains[r->to]);
        if (lag(s, r, e, f) == LAG_SAME) vec_push(s->ctx->scratch, &graph.edges[r->from].to, r->to);
    }
    return graph;
}

static bool has_cycle(const Graph *graph, uint32_t ncomponents) {
    if (ncomponents != graph->n) return true;
    for (uint32_t i = 0; i < graph->n; i++)
        if (ir_has_edge(graph, i, i)) return true;
    return false;
}

/* All domains are one dimension: sorts the members by the reads of the same time. */
static bool settle(Search *s) {
    uint32_t n = s->cycle->n;
    Graph graph = same_time(s);
    uint32_t *order = ARENA_ARRAY(s->ctx->scratch, uint32_t, n);
    uint32_t *ends = ARENA_ARRAY(s->ctx->scratch, uint32_t, n);
    uint32_t ncomponents = ir_components(s->ctx, &graph, order, ends);
    if (has_cycle(&graph, ncomponents)) {
        if (s->stuck) return false;
        s->stuck = true;
        s->stuck_graph = graph;
        s->stuck_domains = arena_copy(s->ctx->scratch, s->domains, n * sizeof *s->domains);
        s->stuck_direction = s->direction;
        s->stuck_index = s->cycle->members[0]->free[lowest(s->domains[0])]->name;
        return false;
    }
    Equation **sorted = ARENA_ARRAY(s->ctx->scratch, Equation *, n);
    for (uint32_t i = 0; i < n; i++) {
        sorted[i] = s->cycle->members[order[i]];
        sorted[i]->scan.dim = lowest(s->domains[order[i]]);
        sorted[i]->scan.direction = s->direction;
    }
    memcpy(s->cycle->members, sorted, n * sizeof *sorted);
    return true;
}

static void start_domains(Search *s, uint32_t first_dim) {
    int64_t extent = s->cycle->members[0]->result->dims[first_dim];
    for (uint32_t i = 0; i < s->cycle->n; i++) {
        const Tensor *tensor = s->cycle->members[i]->result;
        s->domains[i] = 0;
        for (uint32_t d = 0; d < tensor->rank && d < MAX_RANK; d++)
            if (tensor->dims[d] == extent) s->domains[i] |= 1u << d;
    }
    s->domains[0] = 1u << first_dim;
}

/* Members that are left with several dimensions (of the same extent) get each of them in turn. */
static bool choose(Search *s, uint32_t member) {
    uint32_t n = s->cycle->n;
    if (!agree(s)) return false;
    while (member < n && s->domains[member] == 1u << lowest(s->domains[member])) member++;
    if (member == n) return settle(s);
    uint32_t *before = arena_copy(s->ctx->scratch, s->domains, n * sizeof *s->domains);
    for (uint32_t dim = 0; dim < MAX_RANK && s->choices < MOST_CHOICES; dim++) {
        if (!in(before[member], dim)) continue;
        s->choices++;
        s->domains[member] = 1u << dim;
        if (choose(s, member + 1)) return true;
        memcpy(s->domains, before, n * sizeof *before);
    }
    return false;
}

static bool try_time(Search *s, uint32_t first_dim) {
    if (s->cycle->members[0]->result->dims[first_dim] == EXTENT_BATCH) return false;
    start_domains(s, first_dim);
    s->choices = 0;
    return choose(s, 0);
}

/* ---- the message ---- */

static Graph all_reads(Search *s) {
    Graph graph = ir_graph(s->ctx, s->cycle->n);
    for (uint32_t i = 0; i < s->reads.len; i++)
        vec_push(s->ctx->scratch, &graph.edges[s->reads.at[i].from].to, s->reads.at[i].to);
    return graph;
}

/* The shortest way from a node back to itself, starting with the node. 0 when there is none. */
static uint32_t shortest_cycle(Ctx *ctx, const Graph *graph, uint32_t start, uint32_t *way) {
    uint32_t *before = ARENA_ARRAY(ctx->scratch, uint32_t, graph->n);
    uint32_t *queue = ARENA_ARRAY(ctx->scratch, uint32_t, graph->n + 1);
    uint32_t head = 0, tail = 0;
    queue[tail++] = start;
    while (head < tail) {
        uint32_t node = queue[head++];
        for (uint32_t i = 0; i < graph->edges[node].to.len; i++) {
            uint32_t to = graph->edges[node].to.at[i];
            if (to == start) {
                uint32_t length = 1;
                for (uint32_t k = node; k != start; k = before[k] - 1) length++;
                for (uint32_t k = node, at = length; at-- > 0;
                     k = before[k] ? before[k] - 1 : start)
                    way[at] = k;
                return length;
            }
            if (before[to]) continue;
            before[to] = node + 1;
            queue[tail++] = to;
        }
    }
    return 0;
}

/* The read to blame: when stuck, one of the same time. */
static const GroupRead *read_between(Search *s, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < s->reads.len; i++) {
        GroupRead *r = &s->reads.at[i];
        if (r->from != from || r->to != to) continue;
        if (!s->stuck) return r;
        if (lag(s, r, lowest(s->domains[from]), lowest(s->domains[to])) == LAG_SAME) return r;
    }
    return NULL;
}

static void explain(Search *s, Diag *d, bool along_both) {
    if (s->stuck)
        diag_help(s->ctx, d,
                  "along `%s` each of them needs the next at the same place; a value may depend on "
                  "itself only at an earlier (or later) place, such as `%s - 1`",
                  s->stuck_index, s->stuck_index);
    else if (along_both)
        diag_help(s->ctx, d,
                  "earlier and later elements are both read, so neither direction can go first");
    else
        diag_help(s->ctx, d,
                  "a value may depend on itself only at an earlier (or later) place of one "
                  "index, the same for all equations of the cycle: `h[t - 1]`");
}

/* Is a member read at both sides of one of its own indices? */
static bool reads_both_ways(Search *s) {
    for (uint32_t i = 0; i < s->reads.len; i++) {
        GroupRead *r = &s->reads.at[i];
        uint32_t rank = r->read->read.tensor->rank;
        if (r->from != r->to) continue;
        for (uint32_t k = 0; k < s->reads.len; k++)
            for (uint32_t d = 0; d < rank && s->reads.at[k].from == r->from; d++) {
                if (s->reads.at[k].to != r->to) continue;
                s->direction = 1;
                bool up = lag(s, r, d, d) == LAG_EARLIER;
                s->direction = -1;
                if (up && lag(s, &s->reads.at[k], d, d) == LAG_EARLIER) return true;
            }
    }
    return false;
}

/* Turns the cycle so that it begins where the text does. */
static void begin_first(Equation *const *members, uint32_t *way, uint32_t length) {
    uint32_t first = 0;
    for (uint32_t i = 1; i < length; i++)
        if (members[way[i]]->span.begin < members[way[first]]->span.begin) first = i;
    for (; first > 0; first--) {
        uint32_t front = way[0];
        memmove(way, way + 1, (length - 1) * sizeof *way);
        way[length - 1] = front;
    }
}

static void report(Search *s) {
    Ctx *ctx = s->ctx;
    Equation **members = s->cycle->members;
    Graph graph = s->stuck ? s->stuck_graph : all_reads(s);
    if (s->stuck) s->domains = s->stuck_domains, s->direction = s->stuck_direction;
    uint32_t *way = ARENA_ARRAY(ctx->scratch, uint32_t, s->cycle->n + 1), length = 0;
    for (uint32_t start = 0; !length; start++) length = shortest_cycle(ctx, &graph, start, way);
    begin_first(members, way, length);
    Text text = text_new(ctx->arena);
    for (uint32_t i = 0; i < length; i++) {
        if (length > 12 && i == 10) i = length - 1, text_put(&text, "… -> ");
        text_printf(&text, "%s -> ", members[way[i]]->result->name);
    }
    const Equation *first = members[way[0]];
    text_put(&text, first->result->name);
    Diag *d =
        diag_error(ctx, first->span, "the definition of `%s` is cyclic and cannot be ordered: %s",
                   first->result->name, text_string(&text));
    for (uint32_t i = 0; i < length && i < 12; i++) {
        const GroupRead *r = read_between(s, way[i], way[(i + 1) % length]);
        Text read = text_new(ctx->arena);
        ir_print_expr(&read, r->read);
        diag_note(ctx, d, members[way[i]]->span, "`%s` reads `%s` here",
                  members[way[i]]->result->name, text_string(&read));
    }
    explain(s, d, !s->stuck && reads_both_ways(s));
}

bool ir_recurrence(Ctx *ctx, const Module *m, Cycle *cycle) {
    Search s = {.ctx = ctx, .cycle = cycle};
    s.domains = ARENA_ARRAY(ctx->scratch, uint32_t, cycle->n);
    for (uint32_t i = 0; i < cycle->n; i++)
        map_set(ctx->scratch, &s.numbers, cycle->members[i]->result, (void *)(uintptr_t)(i + 1));
    for (uint32_t i = 0; i < cycle->n; i++) collect_reads(&s, i);
    uint32_t rank = cycle->members[0]->result->rank;
    for (s.direction = 1; s.direction >= -1; s.direction -= 2)
        for (uint32_t d = 0; d < rank && d < MAX_RANK; d++)
            if (try_time(&s, d)) return true;
    report(&s);
    return false;
}
