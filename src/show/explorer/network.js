// Runs the library's networks on one input. Feature maps are flat arrays with the channels last, as (row, column, channel).

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const activations = {
  relu: () => (x) => (x < 0 ? 0 : x),
  leaky_relu: ({ slope }) => (x) => (x < 0 ? slope * x : x),
  selu: () => (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  tanh: () => Math.tanh,
  sigmoid: () => (x) => 1 / (1 + Math.exp(-x)),
  elu: ({ alpha }) => (x) => (x > 0 ? x : alpha * Math.expm1(x)),
  softplus: () => (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  hard_sigmoid: () => (x) => Math.min(1, Math.max(0, x / 6 + 0.5)),
  silu: () => (x) => x / (1 + Math.exp(-x)),
  gelu: () => (x) => (x / 2) * (1 + Math.sign(x) * (1 - complement(Math.abs(x) / Math.SQRT2))),
};

/// 1 - erf(x) for x of at least 0, to 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26).
const complement = (x) => {
  const t = 1 / (1 + 0.3275911 * x);
  const sum = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce((sum, factor) => (sum + factor) * t, 0);
  return sum * Math.exp(-x * x);
};

/// Each layer takes its numbers and weights, and becomes a function of its input.
const layers = {
  dense: ({ rows, inputs, outputs }, read) => {
    const weights = read.weights(inputs * outputs, outputs, (at) => at % outputs);
    const bias = read.numbers(outputs);
    return (x) => {
      const y = new Float64Array(rows * outputs);
      for (let row = 0; row < rows; row++) {
        const sums = y.subarray(row * outputs, (row + 1) * outputs);
        sums.set(bias);
        addProduct(sums, x, row * inputs, inputs, weights);
      }
      return y;
    };
  },

  convolution: (layer, read) => {
    const { from: [channels, height, width], to: [filters, rows, columns], kernel, transposed, groups } = layer;
    const [channelsOf, filtersOf] = [channels / groups, filters / groups]; // of a group
    const size = channels * filtersOf;
    const count = kernel[0] * kernel[1] * size;
    // In files (row, column, channel of the group, filter), or (row, column, filter of the group, channel) if it is transposed.
    const weights = read.weights(count, filters, (at) => (transposed
      ? Math.floor((at % channels) / channelsOf) * filtersOf + (Math.floor(at / channels) % filtersOf) : at % filters));
    const bias = read.numbers(filters);
    const kernels = new Map();
    /// The weights (channel, filter) of each group, of several places of the kernel together: an enlarged input is the same at
    /// all of them.
    const sumOf = (ys, xs) => {
      const key = `${ys};${xs}`;
      if (kernels.has(key)) return kernels.get(key);
      const sums = Array.from({ length: groups }, () => new Float64Array(channelsOf * filtersOf));
      for (const y of ys) for (const x of xs) for (const [group, sum] of sums.entries()) {
        const start = (y * kernel[1] + x) * size;
        for (let channel = 0; channel < channelsOf; channel++) for (let filter = 0; filter < filtersOf; filter++) {
          const at = transposed ? filter * channels + group * channelsOf + channel : channel * filters + group * filtersOf + filter;
          sum[channel * filtersOf + filter] += weights[start + at];
        }
      }
      kernels.set(key, sums);
      return sums;
    };
    const [down, across] = [seen(layer, 0, height, rows), seen(layer, 1, width, columns)];
    // For each place of the output: where the pixels start that it sees, and the weights for each of them.
    const places = down.flatMap((ys) => across.map((xs) => ys.flatMap(([y, kernelRows]) =>
      xs.map(([x, kernelColumns]) => [(y * width + x) * channels, sumOf(kernelRows, kernelColumns)]))));
    const sums = new Float64Array(filters);
    const parts = Array.from({ length: groups }, (_, group) => sums.subarray(group * filtersOf, (group + 1) * filtersOf));
    return (x) => {
      const y = new Float64Array(places.length * filters);
      for (let place = 0; place < places.length; place++) {
        sums.set(bias);
        for (const [start, weights] of places[place]) {
          for (let group = 0; group < groups; group++) addProduct(parts[group], x, start + group * channelsOf, channelsOf, weights[group]);
        }
        y.set(sums, place * filters);
      }
      return y;
    };
  },

  /// A batch normalisation: y = scale · x + shift for each channel.
  line: ({ channels }, read) => {
    const [scale, shift] = [read.numbers(channels), read.numbers(channels)];
    return (x) => x.map((value, at) => value * scale[at % channels] + shift[at % channels]);
  },

  prelu: ({ channels }, read) => {
    const slopes = read.numbers(channels);
    return (x) => x.map((value, at) => (value > 0 ? value : value * slopes[at % channels]));
  },

  /// Layer and group normalisation, of so many values at a time: rows of channels, in groups.
  norm: ({ values, channels, groups, epsilon }, read) => {
    const [gamma, beta] = [read.numbers(channels), read.numbers(channels)];
    const [width, count] = [channels / groups, values / groups];
    return (x) => {
      const y = new Float64Array(x.length);
      const meanOf = (start, value) => {
        let sum = 0;
        for (let row = 0; row < values; row += channels) {
          for (let at = start + row; at < start + row + width; at++) sum += value(x[at]);
        }
        return sum / count;
      };
      for (let sample = 0; sample < x.length; sample += values) for (let group = 0; group < groups; group++) {
        const start = sample + group * width;
        const mean = meanOf(start, (value) => value);
        const scale = 1 / Math.sqrt(meanOf(start, (value) => (value - mean) ** 2) + epsilon);
        for (let row = start; row < sample + values; row += channels) for (let at = row; at < row + width; at++) {
          const channel = at % channels;
          y[at] = (x[at] - mean) * scale * gamma[channel] + beta[channel];
        }
      }
      return y;
    };
  },

  max_pool2d: (layer) => pooling(layer, -Infinity, Math.max, 1),

  avg_pool2d: (layer) => pooling(layer, 0, (sum, value) => sum + value, 1 / (layer.size[0] * layer.size[1])),

  /// A part of a feature map, with zeros where it reaches beyond.
  window: ({ from: [channels, height, width], to: [, rows, columns], start }) => (x) => {
    const y = new Float64Array(rows * columns * channels);
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
      const [down, across] = [row + start[0], column + start[1]];
      if (down < 0 || down >= height || across < 0 || across >= width) continue;
      const pixel = (down * width + across) * channels;
      y.set(x.subarray(pixel, pixel + channels), (row * columns + column) * channels);
    }
    return y;
  },

  pixel_shuffle: ({ from: [channels, height, width], factor }) => (x) => {
    const left = channels / factor ** 2; // channels of the output
    const y = new Float64Array(x.length);
    for (let at = 0; at < y.length; at++) {
      const [channel, place] = [at % left, Math.floor(at / left)];
      const [row, column] = [Math.floor(place / (width * factor)), place % (width * factor)];
      const pixel = Math.floor(row / factor) * width + Math.floor(column / factor);
      y[at] = x[pixel * channels + channel * factor ** 2 + (row % factor) * factor + column % factor];
    }
    return y;
  },

  repeat_vector: ({ times }) => (x) => {
    const y = new Float64Array(times * x.length);
    for (let time = 0; time < times; time++) y.set(x, time * x.length);
    return y;
  },

  /// The gates are (input, forget, cell, output).
  lstm: (layer, read) => recurrent(layer, read, 4, (ofInput, ofState, state, cell, unit) => {
    const [input, forget, update, output] = [0, 1, 2, 3].map((gate) => {
      const at = gate * layer.units + unit;
      return (gate === 2 ? Math.tanh : sigmoid)(ofInput[at] + ofState[at]);
    });
    cell[unit] = forget * cell[unit] + input * update;
    state[unit] = output * Math.tanh(cell[unit]);
  }),

  /// The gates are (reset, update, new).
  gru: (layer, read) => recurrent(layer, read, 3, (ofInput, ofState, state, _, unit) => {
    const [reset, update] = [unit, layer.units + unit].map((at) => sigmoid(ofInput[at] + ofState[at]));
    const at = 2 * layer.units + unit;
    const fresh = Math.tanh(ofInput[at] + reset * ofState[at]);
    state[unit] = (1 - update) * fresh + update * state[unit];
  }),

  /// Adds what the layers inside make of the input, or puts it behind it, as more channels.
  skip: ({ channels, merge, inside }, read) => {
    const run = chain(inside, read);
    return (x) => {
      const inner = run(x);
      if (merge === "add") return x.map((value, at) => value + inner[at]);
      const pixels = x.length / channels;
      const y = new Float64Array(x.length + inner.length);
      const [all, more] = [y.length / pixels, inner.length / pixels];
      for (let pixel = 0; pixel < pixels; pixel++) {
        y.set(x.subarray(pixel * channels, (pixel + 1) * channels), pixel * all);
        y.set(inner.subarray(pixel * more, (pixel + 1) * more), pixel * all + channels);
      }
      return y;
    };
  },

  /// Pixels are repeated, or lie on lines between the middles of the two nearest ones.
  up_sample2d: ({ from: [channels, height, width], factor, isLinear }) => {
    const along = (size, factor) => Array.from({ length: size * factor }, (_, place) => {
      const at = isLinear ? Math.max(0, (place + 0.5) / factor - 0.5) : Math.floor(place / factor);
      return [Math.floor(at), Math.min(Math.floor(at) + 1, size - 1), at - Math.floor(at)];
    });
    const [down, across] = [along(height, factor[0]), along(width, factor[1])];
    return (x) => {
      const y = new Float64Array(down.length * across.length * channels);
      let at = 0;
      for (const [top, bottom, below] of down) for (const [left, right, beside] of across) {
        for (let channel = 0; channel < channels; channel++, at++) {
          const value = (row, column) => x[(row * width + column) * channels + channel];
          const above = (1 - beside) * value(top, left) + beside * value(top, right);
          y[at] = (1 - below) * above + below * ((1 - beside) * value(bottom, left) + beside * value(bottom, right));
        }
      }
      return y;
    };
  },

  softmax: () => (x) => {
    const most = x.reduce((most, value) => Math.max(most, value), -Infinity);
    const powers = x.map((value) => Math.exp(value - most));
    const sum = powers.reduce((sum, power) => sum + power, 0);
    return powers.map((power) => power / sum);
  },

  /// Values have one order, channels first, under any shape.
  reshape: ({ from, to }) => {
    const [first, last] = [from, to].map((shape) => {
      const [channels, pixels] = shape.length === 3 ? [shape[0], shape[1] * shape[2]] : [1, shape.reduce((a, b) => a * b)];
      return (at) => (at % pixels) * channels + Math.floor(at / pixels);
    });
    return (x) => {
      const y = new Float64Array(x.length);
      for (let at = 0; at < x.length; at++) y[last(at)] = x[first(at)];
      return y;
    };
  },
};

const sigmoid = activations.sigmoid();

/// Folds each window of a feature map.
const pooling = ({ from: [channels, , width], to: [, rows, columns], size, stride }, first, fold, share) => (x) => {
  const y = new Float64Array(rows * columns * channels).fill(first);
  for (let at = 0; at < y.length; at++) {
    const [channel, place] = [at % channels, Math.floor(at / channels)];
    const [top, left] = [Math.floor(place / columns) * stride[0], (place % columns) * stride[1]];
    for (let row = top; row < top + size[0]; row++) for (let column = left; column < left + size[1]; column++) {
      y[at] = fold(y[at], x[(row * width + column) * channels + channel]);
    }
    y[at] *= share;
  }
  return y;
};

/// A state that each time step changes: `step` does so for one unit, from what the gates take of the input and of the state.
const recurrent = ({ time, features, units, isSequence }, read, count, step) => {
  const gates = count * units;
  const [ofInputs, ofStates] = [features, units].map((rows) => read.weights(rows * gates, gates, (at) => at % gates));
  const [bias, stateBias] = [read.numbers(gates), read.numbers(gates)];
  return (x) => {
    const [state, cell] = [new Float64Array(units), new Float64Array(units)];
    const y = new Float64Array((isSequence ? time : 1) * units);
    for (let at = 0; at < time; at++) {
      const [ofInput, ofState] = [bias, stateBias].map((values) => Float64Array.from(values));
      addProduct(ofInput, x, at * features, features, ofInputs);
      addProduct(ofState, state, 0, units, ofStates);
      for (let unit = 0; unit < units; unit++) step(ofInput, ofState, state, cell, unit);
      y.set(state, isSequence ? at * units : 0);
    }
    return y;
  };
};

/// Adds the product of `count` values of x with a matrix (value, sum). Four values at once load and store a sum less often;
/// zeros are frequent after a ReLU.
const addProduct = (sums, x, start, count, matrix) => {
  const width = sums.length;
  let at = 0;
  for (; at + 4 <= count; at += 4) {
    const [a, b, c, d] = [x[start + at], x[start + at + 1], x[start + at + 2], x[start + at + 3]];
    if (a === 0 && b === 0 && c === 0 && d === 0) continue;
    let row = at * width;
    for (let sum = 0; sum < width; sum++, row++) {
      sums[sum] += a * matrix[row] + b * matrix[row + width] + c * matrix[row + 2 * width] + d * matrix[row + 3 * width];
    }
  }
  for (; at < count; at++) {
    const value = x[start + at];
    for (let sum = 0; sum < width; sum++) sums[sum] += value * matrix[at * width + sum];
  }
};

/// For each place along an axis of a convolution's output: the places of its input that it sees, each with those of the kernel.
const seen = ({ kernel, stride, dilation, factor, padding, transposed }, axis, size, out) => {
  const span = dilation[axis] * (kernel[axis] - 1) + 1;
  const enlarged = size * factor[axis];
  const same = transposed
    ? Math.max(0, span - stride[axis])
    : Math.max(0, (Math.ceil(enlarged / stride[axis]) - 1) * stride[axis] + span - enlarged);
  const before = padding === "valid" ? 0 : padding === "same" ? Math.floor(same / 2) : padding.explicit[axis];
  return Array.from({ length: out }, (_, place) => {
    const sources = new Map();
    for (let at = 0; at < kernel[axis]; at++) {
      const shifted = transposed
        ? place + before - dilation[axis] * at
        : stride[axis] * place - before + dilation[axis] * at;
      const step = transposed ? stride[axis] : factor[axis];
      const source = Math.floor(shifted / step);
      if (shifted < 0 || source >= size || (transposed && shifted % step > 0)) continue;
      sources.set(source, [...(sources.get(source) ?? []), at]);
    }
    return [...sources];
  });
};

/// Some layers, one after the other, as a function.
const chain = (all, read) => {
  const functions = all.map((layer) => {
    if (layer.layer in layers) return layers[layer.layer](layer, read);
    const activation = activations[layer.layer](layer);
    return (x) => x.map((value) => activation(value));
  });
  return (x) => functions.reduce((x, run) => run(x), x);
};

/// A packed network as a function of an array.
const unpacked = async (packed) => {
  const inflated = new Blob([bytesOf(packed.bytes)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(inflated).arrayBuffer();
  const numbers = new Float32Array(buffer, 0, packed.numbers);
  const [upper, lower] = [0, 1].map((half) => new Uint8Array(buffer).subarray(4 * packed.numbers + half * packed.weights));
  const low = Math.max(0, packed.bits - 8); // the bits of a weight's lower byte
  const most = 2 ** (packed.bits - 1) - 1;
  let [number, weight] = [0, 0];
  const read = {
    numbers: (count) => numbers.subarray(number, (number += count)),
    /// Each weight in steps of a scale that its output has.
    weights: (count, outputs, output) => {
      const scales = read.numbers(outputs);
      const values = new Float64Array(count);
      for (let at = 0; at < count; at++, weight++) {
        const level = (upper[weight] << low) | (low > 0 ? lower[weight] : 0);
        values[at] = Math.fround((level - most) * scales[output(at)]);
      }
      return values;
    },
  };
  const run = chain(packed.layers, read);
  return (input) => run(Float64Array.from(input));
};
