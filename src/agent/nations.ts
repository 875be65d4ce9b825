/**
 * Names of countries and the adjectives of their people, so that "Danish" and "Denmark" are known to be the same when two answers are compared, and so that a
 * nationality or a country can be told from other words of a sentence. Pure data and look-ups.
 */
const table =
  'Afghanistan:Afghan;Albania:Albanian;Algeria:Algerian;Andorra:Andorran;Angola:Angolan;Argentina:Argentine,Argentinian,Argentinean;Armenia:Armenian;Australia:Australian;Austria:Austrian;Azerbaijan:Azerbaijani;Bahamas:Bahamian;' +
  'Bahrain:Bahraini;Bangladesh:Bangladeshi;Barbados:Barbadian;Belarus:Belarusian;Belgium:Belgian;Belize:Belizean;Benin:Beninese;Bhutan:Bhutanese;Bolivia:Bolivian;Bosnia and Herzegovina:Bosnian;Botswana:Botswanan;Brazil:Brazilian;' +
  'Bulgaria:Bulgarian;Burkina Faso:Burkinabé;Burundi:Burundian;Cambodia:Cambodian;Cameroon:Cameroonian;Canada:Canadian;Chad:Chadian;Chile:Chilean;China:Chinese;Colombia:Colombian;Costa Rica:Costa Rican;Croatia:Croatian;Cuba:Cuban;' +
  'Cyprus:Cypriot;Czech Republic,Czechia:Czech;Czechoslovakia:Czechoslovak;Denmark:Danish;Dominican Republic:Dominican;Ecuador:Ecuadorian;Egypt:Egyptian;El Salvador:Salvadoran;Eritrea:Eritrean;Estonia:Estonian;Ethiopia:Ethiopian;' +
  'Fiji:Fijian;Finland:Finnish;France:French;Gabon:Gabonese;Gambia:Gambian;Georgia:Georgian;Germany,West Germany,East Germany:German;Ghana:Ghanaian;Greece:Greek;Guatemala:Guatemalan;Guinea:Guinean;Guyana:Guyanese;Haiti:Haitian;' +
  'Honduras:Honduran;Hong Kong:Hong Kong;Hungary:Hungarian;Iceland:Icelandic;India:Indian;Indonesia:Indonesian;Iran,Persia:Iranian,Persian;Iraq:Iraqi;Ireland:Irish;Israel:Israeli;Italy:Italian;Ivory Coast:Ivorian;Jamaica:Jamaican;Japan:Japanese;' +
  'Jordan:Jordanian;Kazakhstan:Kazakh,Kazakhstani;Kenya:Kenyan;Kosovo:Kosovar;Kuwait:Kuwaiti;Kyrgyzstan:Kyrgyz;Laos:Laotian;Latvia:Latvian;Lebanon:Lebanese;Liberia:Liberian;Libya:Libyan;Liechtenstein:Liechtensteiner;Lithuania:Lithuanian;' +
  'Luxembourg:Luxembourgish;Madagascar:Malagasy;Malawi:Malawian;Malaysia:Malaysian;Maldives:Maldivian;Mali:Malian;Malta:Maltese;Mauritania:Mauritanian;Mauritius:Mauritian;Mexico:Mexican;Moldova:Moldovan;Monaco:Monégasque;Mongolia:Mongolian;' +
  'Montenegro:Montenegrin;Morocco:Moroccan;Mozambique:Mozambican;Myanmar,Burma:Burmese;Namibia:Namibian;Nepal:Nepalese,Nepali;Netherlands,Holland:Dutch;New Zealand:New Zealand,New Zealander;Nicaragua:Nicaraguan;Niger:Nigerien;Nigeria:Nigerian;' +
  'North Korea:North Korean;North Macedonia,Macedonia:Macedonian;Norway:Norwegian;Oman:Omani;Pakistan:Pakistani;Palestine:Palestinian;Panama:Panamanian;Papua New Guinea:Papua New Guinean;Paraguay:Paraguayan;Peru:Peruvian;Philippines:Filipino,Philippine;' +
  'Poland:Polish;Portugal:Portuguese;Puerto Rico:Puerto Rican;Qatar:Qatari;Romania:Romanian;Russia,Russian Empire:Russian;Rwanda:Rwandan;Samoa:Samoan;Saudi Arabia:Saudi,Saudi Arabian;Senegal:Senegalese;Serbia:Serbian;Sierra Leone:Sierra Leonean;' +
  'Singapore:Singaporean;Slovakia:Slovak;Slovenia:Slovenian,Slovene;Somalia:Somali;South Africa:South African;South Korea,Korea:South Korean,Korean;Soviet Union,USSR:Soviet;Spain:Spanish;Sri Lanka:Sri Lankan;Sudan:Sudanese;Suriname:Surinamese;' +
  'Sweden:Swedish;Switzerland:Swiss;Syria:Syrian;Taiwan:Taiwanese;Tajikistan:Tajik;Tanzania:Tanzanian;Thailand:Thai;Togo:Togolese;Trinidad and Tobago:Trinidadian;Tunisia:Tunisian;Turkey,Ottoman Empire:Turkish,Ottoman;Turkmenistan:Turkmen;Uganda:Ugandan;' +
  'Ukraine:Ukrainian;United Arab Emirates:Emirati;United Kingdom,UK,U.K.,Great Britain,Britain,England,Scotland,Wales,Northern Ireland:British,English,Scottish,Welsh,Northern Irish;United States,United States of America,USA,U.S.A.,US,U.S.,America:American;' +
  'Uruguay:Uruguayan;Uzbekistan:Uzbek;Venezuela:Venezuelan;Vietnam:Vietnamese;Yemen:Yemeni;Yugoslavia:Yugoslav;Zambia:Zambian;Zimbabwe:Zimbabwean';

const countryOf = new Map<string, string>();
const countryNames: string[] = [];
const adjectives: string[] = [];
for (const row of table.split(';')) {
  const [names = '', people = ''] = row.split(':');
  const [first = '', ...others] = names.split(',');
  for (const name of [first, ...others]) {
    countryOf.set(name.toLowerCase(), first);
    countryNames.push(name);
  }
  for (const adjective of people.split(',')) {
    if (!countryOf.has(adjective.toLowerCase())) countryOf.set(adjective.toLowerCase(), first);
    adjectives.push(adjective);
  }
}

const anyOf = (words: readonly string[]): string => [...words].sort((a, b) => b.length - a.length).map((word) => word.replace(/\./g, '\\.')).join('|');

/** Sources of regular expressions that match a country's name and a nationality. */
export const countryPattern = anyOf(countryNames);
export const nationalityPattern = anyOf(adjectives);

/** The country that a text names as a country or by its people ("Danish", "the Danish actor's Denmark"); null if it names none or several. */
export function nationOf(text: string): string | null {
  const bare = text.trim().replace(/^the\s+/i, '').replace(/\.$/, '').toLowerCase();
  const known = countryOf.get(bare) ?? countryOf.get(`${bare}.`);
  if (known !== undefined) return known;
  const found = new Set<string>();
  for (const match of text.matchAll(new RegExp(`(?<![\\p{L}])(?:${countryPattern}|${nationalityPattern})(?![\\p{L}])`, 'gu'))) {
    const country = countryOf.get(match[0].toLowerCase());
    if (country !== undefined) found.add(country);
  }
  const [only] = found;
  return found.size === 1 && only !== undefined ? only : null;
}
