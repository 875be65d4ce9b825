import { describe, expect, it } from 'vitest';
import { alternativesOf, formSteps, plainly } from '../../../src/agent/forms.ts';
import { faultsOf, planFromSteps } from '../../../src/agent/plan.ts';

describe('questions taken apart by their form', () => {
  it.each([
    // Chains of roles, inside out.
    ['When did the director of film Salt Harbour (1951 Film) die?', ['Who is the director of the film Salt Harbour (1951 Film)?', 'When did #1 die?']],
    ['Where was the place of death of the mother of the founder of Vale Glassworks?', ['Who is the founder of Vale Glassworks?', 'Who is the mother of #1?', 'Where did #2 die?']],
    ["What nationality is Mira Lund's husband?", ['Who is the husband of Mira Lund?', 'What is the nationality of #1?']],
    ["When is the performer of song Night Mill 's birthday?", ['Who is the performer of the song Night Mill?', 'When was #1 born?']],
    ["Who is Orrin Vale's father-in-law?", ['Who is the spouse of Orrin Vale?', 'Who is the father of #1?']],
    ['Who is the maternal grandmother of Mira Of Karr, Duchess Of Isk?', ['Who is the mother of Mira Of Karr, Duchess Of Isk?', 'Who is the mother of #1?']],
    ['Which country the composer of film Sea, Salt And Stone is from?', ['Who is the composer of the film Sea, Salt And Stone?', 'Which country is #1 from?']],
    ['What is the award that the author of The Lamp received?', ['Who is the author of The Lamp?', 'Which award did #1 receive?']],
    // A clause at the end.
    ['Who owns the studio which produced Salt Harbour and the Ghost?', ['Which studio produced Salt Harbour and the Ghost?', 'Who owns #1?']],
    ['What is the enrollment at the university where Lantern Hall is located?', ['In which university is Lantern Hall located?', 'What is the enrollment at #1?']],
    ['What river flows through the city Orrin Vale played for before Karr?', ['Which is the city that Orrin Vale played for before Karr?', 'What river flows through #1?']],
    ['In which town was the engineer who built the Tarn Viaduct in Karr born?', ['Which engineer built the Tarn Viaduct in Karr?', 'In which town was #1 born?']],
    ['In which country is the town where Mira Lund was born?', ['In which town was Mira Lund born?', 'In which country is #1?']],
    ['In which county is the place where Mira Lund died?', ['Which is the place where Mira Lund died?', 'In which county is #1?']],
    // Comparisons.
    ['Which was opened first, the Norrow Bridge or the Tarn Viaduct?', ['When was the Norrow Bridge opened?', 'When was the Tarn Viaduct opened?']],
    ['Which opened first, the Theatre at Karr or the Isk Hall?', ['When did the Theatre at Karr open?', 'When did the Isk Hall open?']],
    ['Which mountain is higher, the Karrhorn or Teshpeak?', ['How high is the Karrhorn?', 'How high is Teshpeak?']],
    ['Who is older, Mira Lund or Orrin Vale?', ['When was Mira Lund born?', 'When was Orrin Vale born?']],
    ['Was Mira Lund (Painter) or Orrin Vale born first?', ['When was Mira Lund (Painter) born?', 'When was Orrin Vale born?']],
    ['Who lived longer, Mira Lund or Orrin Vale?', ['When was Mira Lund born?', 'When did Mira Lund die?', 'When was Orrin Vale born?', 'When did Orrin Vale die?']],
    ['Which film came out earlier, Salt Harbour or Night Mill?', ['When was the film Salt Harbour released?', 'When was the film Night Mill released?']],
    ['Were Mira Lund and Orrin Vale born in the same city?', ['In which city was Mira Lund born?', 'In which city was Orrin Vale born?']],
    ['Did Mira Lund and Orrin Vale receive their doctorates from the same university?', ['From which university did Mira Lund receive the doctorates?', 'From which university did Orrin Vale receive the doctorates?']],
    ['Are both Yezhov and Gol Karr, Isk located in the same country?', ['In which country is Yezhov located?', 'In which country is Gol Karr, Isk located?']],
    ['Does Mira Lund have the same nationality as Orrin Vale?', ['What is the nationality of Mira Lund?', 'What is the nationality of Orrin Vale?']],
    // Comparisons through a role.
    [
      'Which film has the director who was born later, Salt Harbour or Night Mill?',
      ['Who is the director of the film Salt Harbour?', 'Who is the director of the film Night Mill?', 'When was #1 born?', 'When was #2 born?'],
    ],
    [
      'Are director of film Parlour, Bed And Bath and director of film Night Mill both from the same country?',
      ['Who is the director of the film Parlour, Bed And Bath?', 'Who is the director of the film Night Mill?', 'Which country is #1 from?', 'Which country is #2 from?'],
    ],
    [
      'Do both films Salt Harbour and Night Mill have the directors that share the same nationality?',
      ['Who is the director of the film Salt Harbour?', 'Who is the director of the film Night Mill?', 'What is the nationality of #1?', 'What is the nationality of #2?'],
    ],
  ])('%s', (question, steps) => {
    const found = formSteps(question);
    expect(found?.steps).toEqual(steps);
    // What comes out is a plan that the harness accepts.
    expect(faultsOf(planFromSteps(steps, question, 'form'), question)).toEqual([]);
  });

  it.each([
    'Who founded Vale Glassworks?',
    'Who is the founder of Vale Glassworks?',
    'What is the country where Karr is located named after?',
    "Who is the child of Vale's mistress?",
    'What year was the end of the manufacturer of the White armored car?',
    'What is the name of the band founded by one of the stars of Salt Harbour?',
    'When was the last cup won by the team the Lamps lost to?',
    'Which film has the better music, Salt Harbour or Night Mill?',
    'Were Ann and Bob born in the same city as Carl?',
    'Call search with the director of evil',
    '',
  ])('leaves to the model: %s', (question) => expect(formSteps(question)).toBeNull());

  it('finds the alternatives of a comparison, with and without a comma', () => {
    expect(alternativesOf('Which film came out first, Salt Harbour or Night Mill?')).toEqual(['Salt Harbour', 'Night Mill']);
    expect(alternativesOf('Which band was formed first The Lamps or Karr Circus ?')).toEqual(['The Lamps', 'Karr Circus']);
    expect(alternativesOf('Who founded Karr?')).toBeNull();
  });

  it('says the same thing in one way', () => {
    expect(plainly('What is the date of birth of Mira Lund')).toBe('When was Mira Lund born');
    expect(plainly('Who directed Salt Harbour')).toBe('Who is the director of Salt Harbour');
    expect(plainly('Who painted it')).toBe('Who painted it');
  });
});
