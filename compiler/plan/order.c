/* plan/order.c: when the new values of parameters and states are computed.
 *
 * in:   nodes in the module's order      out: the same nodes in the order of their kernels
 *
 * A node is late when only new values need it: the optimizer's arithmetic and the reductions that
 * it reads, which are the gradients of the parameters. Late nodes that belong together wait until
 * every other node that reads the old values is done, and follow right then. So a gradient lives
 * shortly, the new value can overwrite the old one, and both can be one kernel.
 */
#include "plan/private.h"

typedef struct Component {
    uint32_t blockers; /* other nodes that have to come first */
    Vec(Node *) nodes;
    bool is_done;
} Component;

typedef struct Order {
    Planner *p;
    bool *is_constant; /* by number: depends on nothing that is updated or computed */
    uint32_t *parent;  /* union of late nodes, by number */
    Component *components;
    struct {
        Vec(uint32_t) list;
    } *blocked_by; /* components that wait for the node */
    Map readers;   /* Tensor* with a new value → NodeList* */
    Vec(Node *) out;
} Order;

typedef struct NodeList {
    Vec(Node *) all;
} NodeList;

static uint32_t root_of(Order *o, uint32_t i) {
    while (o->parent[i] != i) i = o->parent[i] = o->parent[o->parent[i]];
    return i;
}

static void unite(Order *o, const Node *a, const Node *b) {
    uint32_t i = root_of(o, a->number), j = root_of(o, b->number);
    if (i < j)
        o->parent[j] = i;
    else
        o->parent[i] = j;
}

/* ---- who is late ------------------------------------------------------------------------------
 */

static void find_constants(Order *o) {
    Planner *p = o->p;
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Reads own = {0};
        const Reads *reads = plan_node_reads(p->ctx, p->nodes.at[i], &own);
        bool constant = !p->nodes.at[i]->scan.group;
        for (uint32_t r = 0; r < reads->len; r++) {
            Tensor *tensor = plan_base(p, reads->at[r]->read.tensor);
            const Node *node = map_get(&p->node_of, tensor);
            if (map_has(&p->target_of, tensor) || (node && !o->is_constant[node->number]))
                constant = false;
        }
        o->is_constant[i] = constant;
    }
}

static bool is_late(const Order *o, const Node *node) {
    if (node->scan.group || node->is_root) return false;
    bool feeds_elementwise = false;
    for (uint32_t i = 0; i < node->uses.len; i++) {
        if (!node->uses.at[i].user->is_late) return false;
        feeds_elementwise |= !node->uses.at[i].user->reduces;
    }
    if (node->target) return true;
    if (node->uses.len == 0 || o->is_constant[node->number]) return false;
    return node->reduces || feeds_elementwise;
}

/* ---- what waits for what ----------------------------------------------------------------------
 */

static void find_readers(Order *o) {
    Planner *p = o->p;
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Reads own = {0};
        const Reads *reads = plan_node_reads(p->ctx, p->nodes.at[i], &own);
        for (uint32_t r = 0; r < reads->len; r++) {
            Tensor *tensor = plan_base(p, reads->at[r]->read.tensor);
            if (!map_has(&p->target_of, tensor)) continue;
            NodeList *list = map_get(&o->readers, tensor);
            if (!list) {
                list = ARENA_NEW(p->ctx->scratch, NodeList);
                map_set(p->ctx->scratch, &o->readers, tensor, list);
            }
            vec_push(p->ctx->scratch, &list->all, p->nodes.at[i]);
        }
    }
}

static void unite_late(Order *o) {
    Planner *p = o->p;
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Node *node = p->nodes.at[i];
        if (!node->is_late) continue;
        for (uint32_t u = 0; u < node->uses.len; u++) unite(o, node, node->uses.at[u].user);
        const NodeList *readers = node->target ? map_get(&o->readers, node->target) : NULL;
        for (uint32_t r = 0; readers && r < readers->all.len; r++)
            if (readers->all.at[r]->is_late) unite(o, node, readers->all.at[r]);
    }
}

static void add_blocker(Order *o, const Node *blocker, uint32_t component) {
    if (!blocker || blocker->is_late) return;
    for (uint32_t i = 0; i < o->blocked_by[blocker->number].list.len; i++)
        if (o->blocked_by[blocker->number].list.at[i] == component) return;
    vec_push(o->p->ctx->scratch, &o->blocked_by[blocker->number].list, component);
    o->components[component].blockers++;
}

static void find_blockers(Order *o) {
    Planner *p = o->p;
    for (uint32_t i = 0; i < p->nodes.len; i++) {
        Node *node = p->nodes.at[i];
        if (!node->is_late) continue;
        uint32_t component = root_of(o, i);
        vec_push(p->ctx->scratch, &o->components[component].nodes, node);
        Reads own = {0};
        const Reads *reads = plan_node_reads(p->ctx, node, &own);
        for (uint32_t r = 0; r < reads->len; r++)
            add_blocker(o, map_get(&p->node_of, plan_base(p, reads->at[r]->read.tensor)),
                        component);
        const NodeList *readers = node->target ? map_get(&o->readers, node->target) : NULL;
        for (uint32_t r = 0; readers && r < readers->all.len; r++)
            add_blocker(o, readers->all.at[r], component);
    }
}

/* ---- the order --------------------------------------------------------------------------------
 */

static void emit_component(Order *o, Component *component) {
    if (component->is_done) return;
    component->is_done = true;
    for (uint32_t i = 0; i < component->nodes.len; i++)
        vec_push(o->p->ctx->scratch, &o->out, component->nodes.at[i]);
}

/* A recurrence stays in one piece: what became ready inside follows behind it. */
static uint32_t emit_group(Order *o, uint32_t begin) {
    Planner *p = o->p;
    uint32_t end = begin + 1, group = p->nodes.at[begin]->scan.group;
    while (group && end < p->nodes.len && p->nodes.at[end]->scan.group == group) end++;
    for (uint32_t i = begin; i < end; i++)
        if (!p->nodes.at[i]->is_late) vec_push(p->ctx->scratch, &o->out, p->nodes.at[i]);
    for (uint32_t i = begin; i < end; i++)
        for (uint32_t b = 0; b < o->blocked_by[i].list.len; b++) {
            Component *component = &o->components[o->blocked_by[i].list.at[b]];
            if (--component->blockers == 0) emit_component(o, component);
        }
    return end;
}

void plan_order(Planner *p) {
    Order o = {.p = p};
    Arena *arena = p->ctx->scratch;
    uint32_t n = p->nodes.len;
    o.is_constant = ARENA_ARRAY(arena, bool, n + 1);
    o.parent = ARENA_ARRAY(arena, uint32_t, n + 1);
    o.components = ARENA_ARRAY(arena, Component, n + 1);
    o.blocked_by = arena_alloc(arena, (n + 1) * sizeof *o.blocked_by);
    find_constants(&o);
    for (uint32_t i = 0; i < n; i++) o.parent[i] = i;
    for (uint32_t i = n; i-- > 0;) p->nodes.at[i]->is_late = is_late(&o, p->nodes.at[i]);
    find_readers(&o);
    unite_late(&o);
    find_blockers(&o);
    for (uint32_t i = 0; i < n;) i = emit_group(&o, i);
    for (uint32_t i = 0; i < n; i++) emit_component(&o, &o.components[i]);
    DLC_ASSERT(p->ctx, o.out.len == n, ((Span){0, 0}));
    if (n) memcpy(p->nodes.at, o.out.at, n * sizeof *o.out.at);
    plan_uses(p);
}
