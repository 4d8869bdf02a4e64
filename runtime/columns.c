/* runtime/columns.c: which columns of a table make up which input or target.
 *
 * in: tables, the `x from …` statements of the data block, the model's ports
 * out: for each table and port a Mapping: the columns, in order, that fill it
 *
 * Without a statement, targets take the last columns that no statement uses, and inputs the rest.
 */
#include "runtime/columns.h"

#include <string.h>

typedef struct Selection {
    Columns *columns;
    const Table *table;
    bool *used; /* columns that a statement takes */
} Selection;

static Place place_of(const Table *table) {
    return (Place){.path = table->path};
}

/* ---- names of columns -------------------------------------------------------------------- */

bool table_lacks(const Table *table, const char *name, DlrtError *error) {
    if (!table->names)
        return error_set(error, place_of(table),
                         "there is no column `%s`, because this file is read without a header",
                         error_quote(name).text);
    char list[512] = "";
    size_t used = 0;
    bool full = false;
    for (int64_t c = 0; c < table->columns && !full; c++) {
        Quoted next = error_quote(table->names[c]);
        full = used + strlen(next.text) + 8 > sizeof list;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", c ? ", " : "",
                                 full ? "..." : next.text);
    }
    const char *near =
        dlrt_nearest(name, (const char *const *)table->names, (size_t)table->columns);
    return error_set(error, place_of(table), "there is no column `%s`%s%s%s; the columns are %s",
                     error_quote(name).text, near ? " (did you mean `" : "",
                     near ? error_quote(near).text : "", near ? "`?)" : "", list);
}

static bool has_name(const Table *table, const char *name) {
    for (int64_t c = 0; table->names && c < table->columns; c++)
        if (strcmp(table->names[c], name) == 0) return true;
    return false;
}

static bool find_name(const Selection *s, const char *name, int64_t *column) {
    for (int64_t c = 0; s->table->names && c < s->table->columns; c++) {
        if (strcmp(s->table->names[c], name) != 0) continue;
        *column = c;
        return true;
    }
    return table_lacks(s->table, name, s->columns->loader->error);
}

/* ---- statements -------------------------------------------------------------------------- */

/* The columns first..last, from 0, that a selection names. */
static bool find_range(const Selection *s, const DlrtColumn *column, int64_t *first,
                       int64_t *last) {
    DlrtError *error = s->columns->loader->error;
    if (column->name) {
        if (!find_name(s, column->name, first)) return false;
        *last = *first;
        if (column->last_name && !find_name(s, column->last_name, last)) return false;
        return *first <= *last ||
               error_set(error, place_of(s->table), "column `%s` does not come before `%s`",
                         error_quote(column->name).text, error_quote(column->last_name).text);
    }
    *first = column->first - 1;
    *last = (column->last ? column->last : column->first) - 1;
    if (*first < 0 || *last >= s->table->columns || *first > *last)
        return error_set(error, place_of(s->table),
                         "there are no columns %lld..%lld: the file has columns 1..%lld",
                         (long long)*first + 1, (long long)*last + 1, (long long)s->table->columns);
    return true;
}

static bool add_item(Columns *columns, Mapping *mapping, int64_t column, bool onehot) {
    if (mapping->count == mapping->capacity) {
        int64_t capacity = mapping->capacity ? mapping->capacity * 2 : 16;
        Item *items = pool_take(&columns->loader->pool, capacity, sizeof *items);
        if (!items) return error_memory(columns->loader->error, "columns");
        if (mapping->count) memcpy(items, mapping->items, (size_t)mapping->count * sizeof *items);
        mapping->items = items;
        mapping->capacity = capacity;
    }
    mapping->items[mapping->count++] = (Item){column, onehot ? mapping->nsets++ : -1};
    return true;
}

/* Where targets may be missing so may their columns. */
static bool lacks_column(const Selection *s, const DlrtColumns *statement) {
    for (uint32_t i = 0; i < statement->ncolumns; i++) {
        const DlrtColumn *column = &statement->columns[i];
        const char *names[] = {column->name, column->last_name};
        for (int k = 0; k < 2; k++)
            if (names[k] && !has_name(s->table, names[k])) return true;
        int64_t last = column->last ? column->last : column->first;
        if (!column->name && last > s->table->columns) return true;
    }
    return false;
}

static bool apply_statement(Selection *s, const DlrtColumns *statement, uint32_t port,
                            Mapping *mapping) {
    for (uint32_t i = 0; i < statement->ncolumns; i++) {
        int64_t first = 0, last = 0;
        const DlrtColumn *column = &statement->columns[i];
        const DlrtPort *model_port = s->columns->loader->ports[port];
        if (column->onehot && model_port->classes)
            return error_set(s->columns->loader->error, (Place){0},
                             "`%s` is class(%lld): it takes the column itself, without onehot",
                             model_port->name, (long long)model_port->classes);
        if (!find_range(s, column, &first, &last)) return false;
        for (int64_t c = first; c <= last; c++) {
            s->used[c] = true;
            if (!add_item(s->columns, mapping, c, column->onehot)) return false;
        }
    }
    return true;
}

/* ---- the ports without a statement ------------------------------------------------------- */

/* "the data has 5 columns; input x takes 4 and target y takes 2" */
static bool fail_counts(const Selection *s, const bool *given, int64_t free_columns) {
    const Loader *loader = s->columns->loader;
    char text[600];
    bool some = free_columns != s->table->columns;
    size_t used = (size_t)snprintf(text, sizeof text, "the data has %lld column%s%s;",
                                   (long long)free_columns, free_columns == 1 ? "" : "s",
                                   some ? " that no `from` takes" : "");
    for (uint32_t i = 0, shown = 0; i < loader->nports && used < sizeof text; i++) {
        if (given[i]) continue;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s %s takes %lld",
                                 shown++ ? (i + 1 == loader->nports ? " and" : ",") : "",
                                 i < loader->model->ninputs ? "input" : "target",
                                 loader->ports[i]->name, (long long)loader->ports[i]->elements);
    }
    const char *hint = "; choose columns with `from`";
    char tip[96];
    if (s->table->columns == 1) {
        const char *row = s->table->names ? s->table->names[0] : s->table->starts[0];
        const char *found = strpbrk(row, ";\t|,");
        if (found && *found != s->table->separator) {
            snprintf(tip, sizeof tip, "; is the separator `%s`? say separator: \"%s\"",
                     *found == '\t' ? "tab" : (char[]){*found, 0},
                     *found == '\t' ? "\\t" : (char[]){*found, 0});
            hint = tip;
        }
    }
    return error_set(loader->error, place_of(s->table), "%s%s", text, hint);
}

static bool share_rest(Selection *s, Mapping *mappings, const bool *given) {
    const Loader *loader = s->columns->loader;
    int64_t free_columns = 0, wanted = 0, targets = 0, next = 0;
    uint32_t nports = loader->nports;
    for (int64_t c = 0; c < s->table->columns; c++) free_columns += !s->used[c];
    for (uint32_t i = 0; i < loader->nports; i++) {
        if (given[i]) continue;
        wanted += loader->ports[i]->elements;
        if (loader_may_lack(loader, i)) targets += loader->ports[i]->elements;
    }
    if (wanted == 0) return true; /* every port has its columns; the others are not needed */
    if (wanted > free_columns && wanted - targets == free_columns) {
        wanted = free_columns;
        nports = loader->model->ninputs;
    }
    if (wanted != free_columns) return fail_counts(s, given, free_columns);
    for (uint32_t i = 0; i < nports; i++) {
        if (given[i]) continue;
        for (int64_t taken = 0; taken < loader->ports[i]->elements; next++) {
            if (s->used[next]) continue;
            if (!add_item(s->columns, &mappings[i], next, false)) return false;
            taken++;
        }
    }
    return true;
}

static bool map_table(Columns *columns, const Table *table, Mapping *mappings) {
    Loader *loader = columns->loader;
    const DlrtDataSpec *spec = loader->spec;
    Selection s = {columns, table, pool_take(&loader->pool, table->columns, sizeof(bool))};
    bool *given = pool_take(&loader->pool, loader->nports, sizeof *given);
    if (!s.used || !given) return error_memory(loader->error, "columns");
    for (uint32_t i = 0; i < spec->ncolumns; i++) {
        int port = loader_find_port(loader, spec->columns[i].port);
        if (port < 0)
            return error_set(loader->error, (Place){0},
                             "`%s from`: the model has no input or target of that name",
                             error_quote(spec->columns[i].port).text);
        given[port] = true;
        if (loader_may_lack(loader, (uint32_t)port) && lacks_column(&s, &spec->columns[i]))
            continue;
        if (!apply_statement(&s, &spec->columns[i], (uint32_t)port, &mappings[port])) return false;
    }
    return share_rest(&s, mappings, given);
}

/* Texts that become several numbers are numbered over all files together, so all files must have
 * as many such columns. */
static bool check_sets(const Columns *columns, uint32_t source, const uint32_t *first) {
    const Loader *loader = columns->loader;
    for (uint32_t p = 0; p < loader->nports; p++) {
        const Mapping *a = &columns->mappings[*first * loader->nports + p];
        const Mapping *b = &columns->mappings[source * loader->nports + p];
        if (a->nsets != b->nsets)
            return error_set(loader->error, place_of(loader->sources[source].table),
                             "`%s` has %d text columns here, but %d in %s", loader->ports[p]->name,
                             b->nsets, a->nsets, loader->sources[*first].table->path);
    }
    return true;
}

bool columns_map(Loader *loader) {
    uint32_t nsources = loader->spec->nsources, nports = loader->nports, first = 0;
    Columns columns = {.loader = loader};
    bool any = false;
    columns.mappings =
        pool_take(&loader->pool, (int64_t)nsources * nports, sizeof *columns.mappings);
    columns.codes = pool_take(&loader->pool, nports, sizeof *columns.codes);
    if (!columns.mappings || !columns.codes) return error_memory(loader->error, "columns");
    for (uint32_t i = 0; i < nsources; i++) {
        if (!loader->sources[i].table) continue;
        if (!map_table(&columns, loader->sources[i].table, &columns.mappings[i * nports]))
            return false;
        if (!any) first = i;
        any = true;
        if (!check_sets(&columns, i, &first)) return false;
    }
    if (!any) return true;
    for (uint32_t p = 0; p < nports; p++)
        if (!classes_number(&columns, p) || !classes_keep(&columns, p)) return false;
    for (uint32_t i = 0; i < nsources; i++)
        if (loader->sources[i].table && !columns_fill(&columns, i)) return false;
    return true;
}
