import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asksInKnownForm, leadFact } from '../../../src/agent/leads.ts';
import { nationOf } from '../../../src/agent/nations.ts';
import type { Hit } from '../../../src/corpus/retriever.ts';

function hit(title: string, text: string, docId = title): Hit {
  const sentenceEnds = [...text.matchAll(/[.!?](?:\s|$)/g)].map((match) => match.index + match[0].length).filter((end, i, all) => end > (all[i - 1] ?? 0));
  return { passage: { id: `c/${docId}`, corpus: 'c', docId, title, section: '', text, sentenceEnds: sentenceEnds.at(-1) === text.length ? sentenceEnds : [...sentenceEnds, text.length], page: null }, score: 1, rank: 1, paths: [], highlights: [], bestSentence: 0 };
}

const vale = hit('Orrin Vale', 'Orrin Vale (3 May 1811, Teshmoor – 9 June 1874, Karr) was a Danish glass-maker and painter. He was the son of Aldous Vale and his wife Ines Harrow. In 1840 he married the singer Mira Lund.');
const harbour = hit('Salt Harbour (1951 film)', 'Salt Harbour is a 1951 French drama film directed by Mira Lund and Jon Tesh and starring Ann Karr. The music was composed by Danish pianist Per Isk. It was released on 4 March 1951.');

describe('facts in the forms of encyclopedic leads', () => {
  it.each([
    ['When was Orrin Vale born?', vale, '3 May 1811'],
    ['When did Orrin Vale die?', vale, '9 June 1874'],
    ['Where was Orrin Vale born?', vale, 'Teshmoor'],
    ['Where did Orrin Vale die?', vale, 'Karr'],
    ['What is the nationality of Orrin Vale?', vale, 'Danish'],
    ['Who is the father of Orrin Vale?', vale, 'Aldous Vale'],
    ['Who is the mother of Orrin Vale?', vale, 'Ines Harrow'],
    ['Who is the spouse of Orrin Vale?', vale, 'Mira Lund'],
    ['Who is the director of the film Salt Harbour (1951 Film)?', harbour, 'Mira Lund'],
    ['Who directed Salt Harbour?', harbour, 'Mira Lund'],
    ['Who is the composer of the film Salt Harbour?', harbour, 'Per Isk'],
    ['When was the film Salt Harbour released?', harbour, '4 March 1951'],
    ['Which country is the film Salt Harbour from?', harbour, 'French'],
    ['When was Karr born?', hit('Karr', 'Karr (born Ann Tesh; 24 February 1965) is a singer.'), '24 February 1965'],
    ['When did Karr die?', hit('Karr', 'Karr (21 February 188524 July 1957) was a stage actor.'), '24 July 1957'],
    ['When was Karr born?', hit('Karr', 'Karr (October 4, 1916May 5, 2002) was a producer.'), 'October 4, 1916'],
    ['When did Karr die?', hit('Karr', 'Karr was a king. He died in battle on 3 August 1103.'), '3 August 1103'],
    ['Where was Karr born?', hit('Karr', 'Karr is a singer. She was born in Port Isk and raised in Vale.'), 'Port Isk'],
    ['In which country is the village Karr located?', hit('Karr', 'Karr is a village in Isk Rural District, in Tesh County, Yazd Province, Iran.'), 'Iran'],
    ['In which country is Karr located?', hit('Karr', 'Karr is a school in Verona, New Jersey, United States.'), 'United States'],
    ['Who is the performer of the song Night Mill?', hit('Night Mill (song)', '"Night Mill" is a song by American country singer Jon Tesh from his first album.'), 'Jon Tesh'],
    ['Who is the architect of the Karr Hall?', hit('Karr Hall', 'Karr Hall is a concert hall. It was designed by the architect Jon Tesh in a style of his own.'), 'Jon Tesh'],
    ['Who is the painter of Night Mill?', hit('Night Mill (painting)', 'Night Mill is an oil painting by the Danish artist Ann Isk.'), 'Ann Isk'],
    ['When was the Karr Bridge opened?', hit('Karr Bridge', 'Karr Bridge crosses the Isk. It was opened to traffic in 1889.'), '1889'],
  ])('%s', (question, source, answer) => {
    const fact = leadFact(question, [source]);
    expect(fact?.answer).toBe(answer);
    expect(source.passage.text.slice(fact?.span.start, fact?.span.end)).toContain(answer);
  });

  it('reads over a full stop that ends an initial only', () => {
    expect(leadFact('Who is the director of the film Night Mill?', [hit('Night Mill', 'Night Mill is a film directed by Jon P. Tesh. It is long.')])?.answer).toBe('Jon P. Tesh');
  });

  it('gives the other names of a list', () => {
    expect(leadFact('Who is the director of the film Salt Harbour?', [harbour])?.others).toEqual(['Jon Tesh']);
  });

  it.each([
    ['a question that it does not know', 'Why did Orrin Vale leave Karr?', [vale]],
    ['a subject without a passage of its own', 'When was Mira Lund born?', [vale, harbour]],
    ['two pages of the name', 'When was Orrin Vale born?', [hit('Orrin Vale (painter)', 'Orrin Vale (born 1811) painted.'), hit('Orrin Vale (king)', 'Orrin Vale (born 1611) ruled.')]],
    ['a living person', 'When did Karr die?', [hit('Karr', 'Karr (born 24 February 1965) is a singer.')]],
    ['only the year of death', 'When was Karr born?', [hit('Karr', 'Karr (died 1374) was a smith.')]],
    ['a reign', 'When was Karr born?', [hit('Karr', 'Karr (reigned 1374 – 1380) was a king.')]],
    ['several countries', 'In which country is Karr located?', [hit('Karr', 'Karr is a river that nobody has mapped.')]],
  ])('says nothing about %s', (_, question, hits) => expect(leadFact(question, hits)).toBeNull());

  it('knows which questions it can ask', () => {
    expect(asksInKnownForm('Who directed Salt Harbour?')).toBe(true);
    expect(asksInKnownForm('Why is glass brittle?')).toBe(false);
  });

  it('never gives what the passage does not say, and never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.constantFrom('When was Karr born?', 'Where did Karr die?', 'Who is the director of Karr?', 'In which country is Karr located?'), (noise, question) => {
        const text = `Karr ${noise} (3 May 1811 – 1874) was directed by Jon Tesh in Iran.`;
        const fact = leadFact(question, [hit('Karr', text)]);
        if (fact !== null) expect(text.slice(fact.span.start, fact.span.end)).toContain(fact.answer);
      }),
    );
  });
});

describe('nations', () => {
  it.each([['Danish', 'Denmark'], ['the Netherlands', 'Netherlands'], ['U.S.', 'United States'], ['American', 'United States'], ['the French writer', 'France'], ['Karr', null], ['Danish and French', null]])('%s', (text, nation) => expect(nationOf(text)).toBe(nation));
});
