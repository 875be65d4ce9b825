/** The general weights of `rank.ts`, as `npm run bench -- recall --learn` wrote them (bench/results/recall.md has the command). */
export const generalWeightsData: unknown = {
  learnedOn: 'demo questions, demo, none; 2wikimultihopqa train, 2wikimultihopqa, none; hotpotqa train, hotpotqa, none; musique train, musique, none',
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
};
