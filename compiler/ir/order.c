/* ir/order.c: an order in which the equations can run.
 *
 * in:   a module whose equations stand in any order
 * out:  each equation behind those it reads, in the order of the source where that leaves a choice;
 * strongly connected ones adjacent, as a recurrence with one time (recurrence.c), or an error
 */
#include "ir/passes.h"
#include "ir/private.h"

#include <stdlib.h>

Graph ir_graph(Ctx *ctx, uint32_t n) {
    return (Graph){n, arena_alloc(ctx->scratch, (n + 1) * sizeof(struct Edges))};
}

bool ir_has_edge(const Graph *graph, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < graph->edges[from].to.len; i++)
        if (graph->edges[from].to.at[i] == to) return true;
    return false;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- components: Tarjan, SIAM J. Comput. 1972, with a stack of its own ---- */

typedef struct Tarjan {
    const Graph *graph;
    uint32_t *index, *low; /* 0: not visited */
    uint32_t *edge;        /* the next edge of each node on the way */
    bool *open;            /* on `waiting` */
    uint32_t *waiting, nwaiting;
    uint32_t *way, nway;
    uint32_t next;
    uint32_t *order, norder, *ends, nends;
} Tarjan;

static void enter(Tarjan *t, uint32_t node) {
    t->index[node] = t->low[node] = ++t->next;
    t->open[node] = true;
    t->waiting[t->nwaiting++] = node;
    t->way[t->nway++] = node;
}

static void leave(Tarjan *t) {
    uint32_t node = t->way[--t->nway];
    if (t->nway) {
        uint32_t parent = t->way[t->nway - 1];
        if (t->low[node] < t->low[parent]) t->low[parent] = t->low[node];
    }
    if (t->low[node] != t->index[node]) return;
    uint32_t begin = t->norder, member;
    do {
        member = t->waiting[--t->nwaiting];
        t->open[member] = false;
        t->order[t->norder++] = member;
    } while (member != node);
    qsort(t->order + begin, t->norder - begin, sizeof *t->order, by_number);
    t->ends[t->nends++] = t->norder;
}

static void explore(Tarjan *t, uint32_t root) {
    enter(t, root);
    while (t->nway) {
        uint32_t node = t->way[t->nway - 1];
        if (t->edge[node] == t->graph->edges[node].to.len) {
            leave(t);
            continue;
        }
        uint32_t to = t->graph->edges[node].to.at[t->edge[node]++];
        if (!t->index[to])
            enter(t, to);
        else if (t->open[to] && t->index[to] < t->low[node])
            t->low[node] = t->index[to];
    }
}

uint32_t ir_components(Ctx *ctx, const Graph *graph, uint32_t *order, uint32_t *ends) {
    uint32_t n = graph->n;
    uint32_t *space = ARENA_ARRAY(ctx->scratch, uint32_t, 5 * (size_t)n + 1);
    Tarjan t = {.graph = graph, .order = order, .ends = ends};
    t.index = space, t.low = space + n, t.edge = space + 2 * (size_t)n;
    t.waiting = space + 3 * (size_t)n, t.way = space + 4 * (size_t)n;
    t.open = ARENA_ARRAY(ctx->scratch, bool, n + 1);
    for (uint32_t i = 0; i < n; i++)
        if (graph->edges[i].to.len)
            qsort(graph->edges[i].to.at, graph->edges[i].to.len, sizeof(uint32_t), by_number);
    for (uint32_t i = 0; i < n; i++)
        if (!t.index[i]) explore(&t, i);
    return t.nends;
}

/* ---- the module ---- */

static Graph reads_of(Ctx *ctx, const Module *m) {
    Graph graph = ir_graph(ctx, m->equations.len);
    /* By id of a tensor: the number of its equation, + 1. */
    uint32_t *numbers = ARENA_ARRAY(ctx->scratch, uint32_t, ir_context(ctx)->next_tensor);
    for (uint32_t i = 0; i < graph.n; i++) numbers[m->equations.at[i]->result->id] = i + 1;
    for (uint32_t i = 0; i < graph.n; i++) {
        const Reads *reads = ir_reads(ctx, m->equations.at[i]->body);
        for (uint32_t r = 0; r < reads->len; r++) {
            uint32_t number = numbers[reads->at[r]->read.tensor->id];
            if (number) vec_push(ctx->scratch, &graph.edges[i].to, number - 1);
        }
    }
    return graph;
}

bool ir_order(Ctx *ctx, Module *m) {
    uint32_t n = m->equations.len, groups = 0, begin = 0;
    ArenaMark mark = arena_mark(ctx->scratch);
    Graph graph = reads_of(ctx, m);
    uint32_t *order = ARENA_ARRAY(ctx->scratch, uint32_t, n + 1);
    uint32_t *ends = ARENA_ARRAY(ctx->scratch, uint32_t, n + 1);
    uint32_t ncomponents = ir_components(ctx, &graph, order, ends);
    Equation **sorted = ARENA_ARRAY(ctx->scratch, Equation *, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        sorted[i] = m->equations.at[order[i]];
        sorted[i]->scan = (Scan){0};
    }
    bool ordered = true;
    for (uint32_t c = 0; c < ncomponents; begin = ends[c++]) {
        uint32_t first = order[begin];
        if (ends[c] - begin == 1 && !ir_has_edge(&graph, first, first)) continue;
        Cycle cycle = {sorted + begin, ends[c] - begin};
        if (!ir_recurrence(ctx, m, &cycle)) {
            ordered = false;
            continue;
        }
        groups++;
        for (uint32_t i = begin; i < ends[c]; i++) sorted[i]->scan.group = groups;
    }
    if (n) memcpy(m->equations.at, sorted, n * sizeof *sorted);
    arena_release(ctx->scratch, mark);
    return ordered;
}
