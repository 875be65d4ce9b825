/** The general weights of `rank.ts`, as `npm run bench -- recall --learn` wrote them (bench/results/recall.md has the command). */
export const generalWeightsData: unknown = {
  learnedOn: 'train splits of 2wikimultihopqa, hotpotqa and musique on their own corpora, and the tune split of the demo questions',
  words: [
    {
      words: 2.358, wordsRank: -1.462, wordsScore: 1.615, named: 1.266, coverage: 3.122, titleCoverage: 1.63, lead: 2.013, documentBest: -3.206,
      hub: -2.176, strength: 1.34, strengthRank: 1.74, outBest: 0.721, outSum: -0.635, outShared: 4.793, outRank: 2.366, outNamed: 0.025,
      outCoverage: -2.269, outTogether: 1.449, outResidual: 16.51, outNew: -5.241, outWords: -7.134, outSibling: 1.324, inBest: -0.751, inSum: -0.573,
      inShared: 2.732, inTogether: 1.836, inResidual: 8.273, inSibling: -2.615,
    },
    {
      words: 2.101, wordsRank: -0.924, wordsScore: 1.461, named: 1.281, coverage: 1.61, titleCoverage: 1.209, lead: 1.385, documentBest: -2.077,
      hub: -1.718, strength: 1.184, strengthRank: 2.444, outBest: -0.313, outSum: -1.834, outShared: 2.369, outRank: 2.458, outNamed: 1.449,
      outCoverage: -1.214, outTogether: 1.344, outResidual: 8.018, outNew: -1.15, outWords: -4.362, outSibling: 0.62, inBest: 1.02, inSum: -1.083,
      inShared: 1.99, inTogether: 0.799, inResidual: 4.729, inSibling: -2.257,
    },
  ],
  hybrid: [
    {
      words: 1.104, wordsRank: -0.508, wordsScore: 1.291, meaning: 0.903, meaningRank: 0.413, named: 1.742, coverage: 1.74, titleCoverage: 0.873,
      lead: 0.754, documentBest: -2.389, hub: -1.56, strength: 0.444, strengthRank: 1.612, outBest: -0.743, outSum: -0.857, outShared: 4.032,
      outRank: 1.749, outNamed: 0.494, outCoverage: -0.735, outTogether: 2.744, outResidual: 15.348, outNew: -3.918, outWords: -5.647,
      outMeaning: -0.258, outSibling: 0.903, inBest: -0.007, inSum: -0.642, inShared: 2.426, inTogether: 1.445, inResidual: 6.304, inSibling: -2.175,
    },
    {
      words: 1.008, wordsRank: -0.231, wordsScore: 1.15, meaning: 0.75, meaningRank: 0.486, named: 1.421, coverage: 0.992, titleCoverage: 0.862,
      lead: 0.617, documentBest: -1.699, hub: -1.13, strength: 1.133, strengthRank: 1.439, outBest: -1.326, outSum: -1.862, outShared: 3.197,
      outRank: 1.813, outNamed: 1.257, outCoverage: -0.669, outTogether: 3.062, outResidual: 4.189, outNew: 0.919, outWords: -4.004,
      outMeaning: -0.31, outSibling: 0.538, inBest: 0.273, inSum: -1.049, inShared: 2.121, inTogether: 1.617, inResidual: 4.612, inSibling: -2.038,
    },
  ],
};
