/* A transposed convolution: the kernels of a convolution, the other way round. Reference: fastnn_ref/conv_transpose.py.

   g describes the convolution from the output to the input (kernels.h). So forward is that convolution's way back, from
   du to what has x's shape, with a bias and an activation; dx is its way forward, from x, the gradient of the output;
   and dW is its dW. */

static void F(conv_transpose_pack)(const fastnn_conv *g, void *to) { F(turn_weights)(g, to); }

static void F(conv_transpose)(const fastnn_conv *g)
{
    F(fill_gradient)(g);
    const real *turned = g->packed ? g->packed : F(turn_weights)(g, g->weights);
    F(correlate_back)(g, turned, g->b, g->u, g->y, g->norm, g->activation);
}

/* db of this part of the channels: sums of x, whose blocks stand interleaved, as they came or in the planes. */
static void F(channel_gradient_part)(const void *job, int part, int parts)
{
    const fastnn_conv *g = job;
    const fastnn_planes *p = &g->input;
    const int64_t blocks = F(interleaved_blocks)(g->images), size = p->height * p->width;
    for (int64_t c = part_begin(g->channels, part, parts); c < part_begin(g->channels, part + 1, parts); ++c) {
        vec sum[LANE_VECTORS];
        real lane[LANES];
        double total = 0;
        int64_t lines = 0;                              /* in the lanes */
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sum[v] = vzero();
        for (int64_t n = 0; n < blocks; ++n) {
            const real *channel = g->x_interleaved ? (const real *)g->x + (n * g->channels + c) * size * LANES
                : F(planes_at)(p, n * LANES) + c * p->channel_size * LANES;
            for (int64_t i = 0; i < p->height; ++i) {
                if (lines > PIECE) F(take_lanes)(sum, &total), lines = 0;
                lines += p->width;
                for (int64_t j = 0; j < p->width; ++j) {
                    const int64_t place = g->x_interleaved ? i * p->width + j : p->row_offset[i] + p->col_offset[j];
                    const real *line = channel + place * LANES;
                    UNROLL for (int v = 0; v < LANE_VECTORS; ++v) sum[v] += vload(line + v * VL);
                }
            }
        }
        UNROLL for (int v = 0; v < LANE_VECTORS; ++v) vstore(lane + v * VL, sum[v]);
        for (int64_t n = blocks * LANES; n < g->images; ++n)
            lane[0] += F(sum)((const real *)g->x + (n * g->channels + c) * size, size);
        ((real *)g->db)[c] = (real)(total + (double)F(tree)(lane));
    }
}

static void F(conv_transpose_backward_weight)(const fastnn_conv *g)
{
    F(fill_input)(g, g->by_strips ? F(interleaved_blocks)(g->images) : 0, 1);
    if (!g->dw) return;
    if (!g->y_interleaved) F(fill_gradient)(g);
    F(weight_gradient)(g);
    if (g->db) run_parts(F(channel_gradient_part), g, (int)min64(F(conv_threads)(g), g->channels));
}

/* conv_transpose_backward_weight filled the planes. */
static void F(conv_transpose_backward_input)(const fastnn_conv *g)
{
    F(correlate_forward)(g, g->by_strips ? g->x : NULL, NULL, NULL, NULL, g->dx, g->dx, NULL, IDENTITY);
}
